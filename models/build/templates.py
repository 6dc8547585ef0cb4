"""How each kind of question is worded: trained templates and, apart from them, held-out ones.

`np` are noun phrases that every trained wrapper below may enclose ("Tell me {np}."), `full` are whole sentences.
`held` are whole sentences that training never sees; they were fixed before the model was trained and are never
moved (`heldout.jsonl` is the set drawn from them, compared with this file by `build.check`).
"""

WRAPPERS = ("What is {np}?", "Tell me {np}.", "Please tell me {np}.", "Do you know {np}?", "Can you tell me {np}?",
            "I want to know {np}.", "I would like to know {np}.", "{np}?", "{np}, please.", "Give me {np}.",
            "Could you say what {np} is?", "Say {np}.", "What's {np}?", "Find {np}.", "I need {np}.",
            "Hello, what is {np}?", "Quick question: what is {np}?", "Do you happen to know what {np} is?",
            "So what is {np}?", "Now tell me {np}.", "My question is {np}.", "Help me with {np}.")

TEMPLATES = {
    "capital": dict(
        np=["the capital of {x}", "the capital city of {x}", "{x}'s capital", "the name of the capital of {x}"],
        full=["Which city is the capital of {x}?", "What capital does {x} have?", "{x} has which capital?",
              "Which capital belongs to {x}?", "What do you call the capital of {x}?", "capital {x}",
              "What city is the capital in {x}?"],
        held=["I forgot what the capital of {x} is called.", "Name the city that is the capital of {x}.",
              "Which is the capital city in {x}, please?", "Would you remind me of the capital of {x}?",
              "If I travel to {x}, what is the capital there?"]),
    "capital_of": dict(
        np=["the country whose capital is {x}", "the country with the capital {x}"],
        full=["Which country has the capital {x}?", "{x} is the capital of which country?", "Of which country is {x} the capital?",
              "What country is {x} the capital of?", "Whose capital is {x}?", "{x} is the capital of what?",
              "To which country does the capital {x} belong?", "In which country is {x} the capital?"],
        held=["Name the country that has {x} as its capital.", "{x} is the capital city of which land or country?",
              "Which country calls {x} its capital?", "Please say of what country {x} is the capital."]),
    "continent": dict(
        np=["the continent of {x}", "the continent that {x} is in", "{x}'s continent"],
        full=["On which continent is {x}?", "Which continent is {x} in?", "What continent is {x} on?", "{x} is on which continent?",
              "In which part of the world is {x}?", "To which continent does {x} belong?", "Where in the world is {x}?"],
        held=["Name the continent where {x} is.", "Which continent does {x} belong to?", "{x} belongs to what continent?",
              "Would you remind me which continent {x} is on?"]),
    "currency": dict(
        np=["the currency of {x}", "the money of {x}", "{x}'s currency"],
        full=["Which currency does {x} use?", "What money do people use in {x}?", "What do people pay with in {x}?",
              "Which money is used in {x}?", "What currency is used in {x}?", "With what currency do I pay in {x}?"],
        held=["Name the currency that {x} uses.", "Which currency do I need in {x}?", "What kind of money does {x} have?",
              "In {x}, what do people pay with?"]),
    "symbol": dict(
        np=["the chemical symbol of {x}", "the symbol of {x}", "the symbol for {x}", "the chemical symbol for {x}"],
        full=["Which symbol does {x} have?", "What symbol stands for {x}?", "How is {x} written in chemistry?",
              "What chemical symbol does {x} have?"],
        held=["Name the chemical symbol that stands for {x}.", "In chemistry, which symbol is used for {x}?",
              "Which chemical symbol belongs to {x}?", "I forgot the symbol for the element {x}."]),
    "opposite": dict(
        np=["the opposite of {x}", "the contrary of {x}", "a word that is the opposite of {x}"],
        full=["What is opposite to {x}?", "Which word is the opposite of {x}?", "{x} is the opposite of what?",
              "What word means the opposite of {x}?", "What is not {x} but the opposite?"],
        held=["Name the opposite of the word {x}.", "Which word has the opposite meaning of {x}?",
              "I am looking for the opposite of {x}.", "If it is not {x}, what is the opposite?"]),
    "plural": dict(
        np=["the plural of {x}", "the plural form of {x}", "{x} in the plural"],
        full=["How do you write the plural of {x}?", "What plural does {x} have?", "How do you say more than one {x}?",
              "Which word is the plural of {x}?", "What does {x} become in the plural?"],
        held=["Name the plural of the word {x}.", "What plural form does the word {x} take?", "Make {x} plural.",
              "Which form is the plural of {x}?"]),
    "past": dict(
        np=["the past tense of {x}", "the past of {x}", "the past form of {x}", "{x} in the past tense"],
        full=["How do you write the past tense of {x}?", "What past tense does {x} have?",
              "What does {x} become in the past?", "Which word is the past tense of {x}?"],
        held=["Name the past tense of the verb {x}.", "Put {x} in the past tense.", "Which form is the past tense of {x}?",
              "What past form does the verb {x} take?"]),
    "young": dict(
        np=["the name of a young {x}", "the word for a young {x}", "the name of a baby {x}", "a young {x}"],
        full=["What is a young {x} called?", "What do you call a young {x}?", "How is a young {x} called?",
              "What is a baby {x} called?", "What do you call a baby {x}?", "Which name has a young {x}?"],
        held=["Name the young of a {x}: how is it called?", "Which word is used for a baby {x}?",
              "People call a young {x} what?", "I forgot what a young {x} is called."]),
    "legs": dict(
        np=["the number of legs of a {x}", "how many legs a {x} has"],
        full=["How many legs does a {x} have?", "How many legs has a {x}?", "On how many legs does a {x} walk?",
              "A {x} has how many legs?", "How many legs are there on a {x}?"],
        held=["Count the legs of a {x}.", "Would you know how many legs one {x} has?", "How many legs can I count on a {x}?"]),
    "colour": dict(
        np=["the colour of {x}", "the usual colour of {x}"],
        full=["What colour is {x}?", "Which colour has {x}?", "What colour does {x} have?", "Which colour is {x}?",
              "Of what colour is {x}?"],
        held=["Name the colour of {x}.", "What is the colour that {x} has?", "Would you say which colour {x} is?"]),
    "sides": dict(
        np=["the number of sides of a {x}", "how many sides a {x} has"],
        full=["How many sides does a {x} have?", "How many sides has a {x}?", "A {x} has how many sides?",
              "How many sides are there in a {x}?"],
        held=["Count the sides of a {x}.", "Would you know how many sides one {x} has?", "How many sides can I count on a {x}?"]),
    "unit": dict(
        np=["the number of {y} in a {x}", "how many {y} a {x} has"],
        full=["How many {y} are in a {x}?", "How many {y} are there in a {x}?", "How many {y} does a {x} have?",
              "How many {y} make a {x}?", "A {x} has how many {y}?", "How many {y} has a {x}?"],
        held=["Count the {y} of a {x}.", "One {x} is how many {y}?", "Would you know how many {y} there are in one {x}?"]),
    "planet": dict(
        np=["planet number {x} from the sun", "the planet number {x}", "the name of planet number {x}"],
        full=["Which planet is number {x} from the sun?", "What planet is number {x}?", "Which planet has number {x}?"],
        held=["Name the planet that is number {x} from the sun.", "Counting from the sun, which planet is number {x}?"]),
    "add": dict(
        np=["{a} plus {b}", "{a} + {b}", "{a}+{b}", "{a} and {b} together", "the sum of {a} and {b}"],
        full=["How much is {a} plus {b}?", "Add {a} and {b}.", "How much is {a} + {b}?", "{a} plus {b} is what?", "Compute {a} + {b}.",
              "{a} + {b} =", "Calculate {a} plus {b}.", "What do you get for {a} plus {b}?", "What do {a} and {b} make together?"],
        held=["Please add up {a} and {b}.", "What does {a} plus {b} make?", "What comes out of {a} + {b}?",
              "How much do I have with {a} plus {b}?", "Work out the sum of {a} and {b}."]),
    "sub": dict(
        np=["{a} minus {b}", "{a} - {b}", "{a}-{b}", "{a} less {b}"],
        full=["How much is {a} minus {b}?", "Take {b} from {a}.", "How much is {a} - {b}?", "{a} minus {b} is what?", "Compute {a} - {b}.",
              "{a} - {b} =", "Calculate {a} minus {b}.", "What do you get for {a} minus {b}?", "Subtract {b} from {a}."],
        held=["Please take {b} away from {a}.", "What does {a} minus {b} make?", "What comes out of {a} - {b}?",
              "How much do I have with {a} minus {b}?"]),
    "mul": dict(
        np=["{a} times {b}", "{a} * {b}", "{a} x {b}", "the product of {a} and {b}"],
        full=["How much is {a} times {b}?", "Multiply {a} by {b}.", "How much is {a} * {b}?", "{a} times {b} is what?",
              "Compute {a} * {b}.", "{a} * {b} =", "Calculate {a} times {b}.", "What do you get for {a} times {b}?"],
        held=["Please multiply {a} and {b}.", "What does {a} times {b} make?", "What comes out of {a} * {b}?",
              "How much do I have with {a} times {b}?", "Work out the product of {a} and {b}."]),
    "larger": dict(
        np=["the larger of {a} and {b}", "the bigger number of {a} and {b}", "the larger number, {a} or {b}"],
        full=["Which is larger, {a} or {b}?", "Which number is larger: {a} or {b}?", "Is {a} or {b} larger?", "What is more, {a} or {b}?",
              "Which is bigger, {a} or {b}?", "Is {a} bigger or {b}?", "Compare {a} and {b}."],
        held=["Of {a} and {b}, which is larger?", "Name the bigger number: {a} or {b}.", "Which one is larger: {a} or {b}?"]),
    "parity": dict(
        np=["the parity of {a}", "whether {a} is even or odd"],
        full=["Is {a} even or odd?", "Is {a} odd or even?", "Is the number {a} even or odd?", "{a}: even or odd?", "Is {a} an even number?",
              "Is {a} an odd number?", "Even or odd: {a}?"],
        held=["Would you call {a} even or odd?", "Is number {a} odd, or is it even?", "Say if {a} is even or odd."]),
    "day_after": dict(
        np=["the day after {x}", "the day that comes after {x}", "the next day after {x}"],
        full=["Which day comes after {x}?", "Which day follows {x}?", "What day is after {x}?", "If today is {x}, what is tomorrow?",
              "Today is {x}. What day is tomorrow?", "What day comes after {x}?"],
        held=["Name the day following {x}.", "After {x} comes which day?", "Which day is the one after {x}?"]),
    "day_before": dict(
        np=["the day before {x}", "the day that comes before {x}"],
        full=["Which day comes before {x}?", "What day is before {x}?", "If today is {x}, what was yesterday?",
              "Today is {x}. What day was yesterday?", "What day comes before {x}?", "Which day was before {x}?"],
        held=["Name the day right before {x}.", "Before {x} comes which day?", "Which day is the one before {x}?"]),
    "month_after": dict(
        np=["the month after {x}", "the month that comes after {x}", "the next month after {x}"],
        full=["Which month comes after {x}?", "Which month follows {x}?", "What month is after {x}?", "It is {x}. What is the next month?",
              "What month comes after {x}?"],
        held=["Name the month following {x}.", "After {x} comes which month?", "Which month is the one after {x}?"]),
    "month_before": dict(
        np=["the month before {x}", "the month that comes before {x}"],
        full=["Which month comes before {x}?", "What month is before {x}?", "It is {x}. What was the last month?",
              "What month comes before {x}?", "Which month was before {x}?"],
        held=["Name the month right before {x}.", "Before {x} comes which month?", "Which month is the one before {x}?"]),
    "month_days": dict(
        np=["the number of days in {x}", "how many days {x} has"],
        full=["How many days does {x} have?", "How many days are in {x}?", "How many days are there in {x}?", "How many days has {x}?",
              "{x} has how many days?", "How long is {x}?"],
        held=["Count the days of {x}.", "Would you know how many days there are in {x}?", "How many days long is {x}?"]),
    "month_number": dict(
        np=["the number of the month {x}", "month number of {x}"],
        full=["Which number has the month {x}?", "What number is the month {x}?", "Which month of the year is {x}?", "{x} is which month of the year?"],
        held=["In the year, {x} is which number of month?", "Which month number does {x} have?"]),
    "list": dict(
        np=["{n} {x}", "a list of {n} {x}", "the names of {n} {x}"],
        full=["List {n} {x}.", "Name {n} {x}.", "Name me {n} {x}.", "List {n} {x}, please.", "Write a list of {n} {x}.",
              "Which {n} {x} do you know?", "Can you list {n} {x}?", "Can you name {n} {x}?"],
        held=["Please give me a list with {n} {x}.", "Could you name {n} {x}?", "Make a list of {n} {x}.", "I am looking for {n} {x}."]),
    "count": dict(
        np=["the numbers from {a} to {b}", "a list of the numbers from {a} to {b}"],
        full=["Count from {a} to {b}.", "Count from {a} up to {b}.", "List the numbers from {a} to {b}.", "Write the numbers {a} to {b}.",
              "Can you count from {a} to {b}?", "Please count from {a} to {b}."],
        held=["Could you count up from {a} to {b}?", "Name all numbers from {a} to {b}.", "Make a list: numbers from {a} to {b}."]),
    "relay": dict(
        np=["{x}", "{x} in Relay", "the meaning of {x}", "the role of {x}"],
        full=["What does {x} do?", "What does {x} mean?", "Explain {x}.", "What is meant by {x}?", "What is {x} for?", "Describe {x}.",
              "Tell me about {x}.", "Tell me what {x} is.", "Explain to me what {x} is.", "How does {x} work?", "Why is there {x}?",
              "What is {x} good for?", "In Relay, what is {x}?"],
        held=["Please explain {x} to me.", "What should I know about {x}?", "Could you describe {x}?", "I do not understand what {x} is.",
              "What is the meaning of {x} in this project?"]),
}

# Social turns: answer -> (trained, held-out).
SOCIAL = {
    "Hello! How can I help you?": (
        ["Hello", "Hello!", "Hi", "Hi!", "Hi there!", "Hello there!", "Hey", "Hey!", "Hey there", "Good day!", "Greetings!", "Hello Relay!", "Hi Relay",
         "Hello, how can you help me?"], ["Hello hello!", "Hey Relay!", "Hi, good day!"]),
    "Good morning! How can I help you?": (["Good morning", "Good morning!", "Morning!", "A good morning to you!", "Good morning, Relay."],
                                          ["Hello and good morning!", "Good morning to you."]),
    "Good evening! How can I help you?": (["Good evening", "Good evening!", "Evening!", "A good evening to you!", "Good evening, Relay."],
                                          ["Hello and good evening!", "Good evening to you."]),
    "I am well, thank you. How can I help you?": (
        ["How are you?", "How are you today?", "How do you do?", "How are you doing?", "Are you well?", "How is it going?", "Hi, how are you?"],
        ["Hello, how are you doing today?", "Hey, are you well today?"]),
    "I am a small language model that runs inside Relay.": (
        ["Who are you?", "What are you?", "Tell me who you are.", "Are you a human?", "Are you a robot?", "What kind of model are you?", "Are you a person?",
         "Introduce yourself.", "What is your name?", "Do you have a name?", "Who am I talking to?"],
        ["Please tell me what you are.", "Are you a human or a robot?", "What sort of model are you?"]),
    "I know capitals, small sums, days, months, short lists and how Relay works.": (
        ["What can you do?", "What do you know?", "What can I ask you?", "Help", "Help me.", "How can you help me?", "What are you able to do?",
         "What topics do you know?", "What can I ask?"], ["Tell me what you can do.", "Which topics can I ask you about?"]),
    "You are very welcome.": (
        ["Thanks", "Thanks!", "Thank you", "Thank you!", "Thank you very much.", "Many thanks!", "Thanks a lot.", "Great, thanks!", "Thank you so much!",
         "That helps, thanks."], ["Great, thank you very much!", "Many thanks to you!", "That was helpful, thank you."]),
    "Goodbye, and have a nice day!": (
        ["Bye", "Bye!", "Goodbye", "Goodbye!", "See you!", "See you later.", "Bye bye!", "I have to go, bye.", "Good night!", "That is all, bye."],
        ["Thanks, goodbye!", "I must go now. Goodbye!", "See you soon, bye!"]),
}

UNKNOWN_PLACE = "I am sorry, I do not know that place."
CANNOT_KNOW = "I am sorry, I do not know that."
TOO_LARGE = "I am sorry, I only know small numbers."

# Refused politely. {p}: an invented place; {n}, {m}: numbers of three or four digits; {t}: a topic outside the tables.
REFUSALS = {
    UNKNOWN_PLACE: (
        [t.replace("{x}", "{p}") for k in ("capital", "continent", "currency") for t in
         [w.replace("{np}", np) for w in WRAPPERS for np in TEMPLATES[k]["np"]] + TEMPLATES[k]["full"]],
        [t.replace("{x}", "{p}") for k in ("capital", "continent") for t in TEMPLATES[k]["held"]]),
    TOO_LARGE: (
        ["What is {n} plus {m}?", "How much is {n} times {m}?", "{n} + {m}", "{n} * {m}", "What is {n} minus {m}?", "{n} - {m} =", "Add {n} and {m}.",
         "Multiply {n} by {m}.", "Compute {n} + {m}.", "Calculate {n} times {m}.", "Tell me {n} plus {m}.", "Subtract {n} from {m}."],
        ["Work out the sum of {n} and {m}.", "What comes out of {n} * {m}?", "Please add up {n} and {m}."]),
    CANNOT_KNOW: (
        ["What is {t}?", "Tell me {t}.", "Do you know {t}?", "Can you tell me {t}?", "I want to know {t}.", "Please tell me {t}.", "{t}?",
         "I would like to know {t}.", "Say {t}.", "Could you say what {t} is?"],
        ["Name {t}.", "I forgot what {t} is.", "Would you remind me of {t}?", "I am looking for {t}."]),
}
TOPICS = ("the weather today", "the weather tomorrow", "the price of gold", "the price of bread", "the time now", "the date today",
          "the winner of the game", "the score of the match", "the news of today", "my age", "my address", "my password", "the best film",
          "the name of my dog", "the name of the king", "the name of the president", "your favourite song", "the meaning of life", "the speed of my car",
          "the population of China", "the population of Paris", "the height of the tower", "the author of this book", "the phone number of Anna",
          "the lottery numbers", "the price of a ticket", "the end of the story", "the colour of my eyes", "the length of the river",
          "the size of the moon", "the age of the queen", "the stock market tomorrow", "the best restaurant", "the way to the station")

# Follow-ups lean on the turn before: kind of the first question -> (trained, held-out).
FOLLOW_UPS = {
    "capital": (["And of {x}?", "And {x}?", "What about {x}?", "And the capital of {x}?", "And what about {x}?", "And for {x}?", "How about {x}?", "Now {x}."],
                ["And now the same for {x}.", "Okay, and of {x}?", "And how about {x}?"]),
    "opposite": (["And of {x}?", "And {x}?", "What about {x}?", "And the opposite of {x}?", "And for {x}?", "How about {x}?"],
                 ["And now the same for {x}.", "Okay, and of {x}?"]),
    "day_after": (["And after that?", "And the day after that?", "And then?", "And the next day?", "What comes after that?"],
                  ["And what day comes then?", "And the one after that?"]),
    "month_after": (["And after that?", "And the month after that?", "And then?", "And the next month?", "What comes after that?"],
                    ["And what month comes then?", "And the one after that?"]),
    "add": (["And plus {b}?", "And {b} more?", "Plus {b}?", "Now add {b}.", "Add {b} to that.", "And if I add {b}?", "What about plus {b}?"],
            ["Okay, and plus {b}?", "And now plus {b}?", "Please add {b} to it."]),
    "its_continent": (["On which continent is it?", "Which continent is that on?", "And on which continent is it?", "What continent is it on?", "And the continent?"],
                      ["And which continent is it on?", "On what continent is that?"]),
    "name": (["What is my name?", "Do you remember my name?", "Who am I?", "Tell me my name.", "Say my name.", "Do you know my name?"],
             ["Can you remember what my name is?", "Please tell me my name."]),
}
INTRODUCTIONS = (["My name is {x}.", "I am {x}.", "Hello, my name is {x}.", "Hi, I am {x}.", "Call me {x}.", "You can call me {x}."],
                 ["Hello there, I am {x}.", "Hey, my name is {x}."])
SYSTEMS = ("You are a helpful assistant.", "You are Relay's assistant.", "Answer briefly.", "Answer in one sentence.", "You answer short questions.",
           "You are a helpful assistant. Answer briefly.", "Be polite and short.")
