"""What the chat model knows: plain tables, no code.

Every table is small on purpose. A model of two million parameters can learn a few thousand facts by heart and
nothing else, so the tables say exactly what it may be asked; whatever is not here it should politely refuse.
"""

# country: capital and continent, as "Capital/Continent"
COUNTRIES = dict(
    line.rsplit("=", 1) for line in """
Albania=Tirana/Europe|Algeria=Algiers/Africa|Angola=Luanda/Africa|Argentina=Buenos Aires/South America|Armenia=Yerevan/Asia
Australia=Canberra/Oceania|Austria=Vienna/Europe|Azerbaijan=Baku/Asia|Bangladesh=Dhaka/Asia|Belarus=Minsk/Europe
Belgium=Brussels/Europe|Bolivia=Sucre/South America|Bosnia=Sarajevo/Europe|Botswana=Gaborone/Africa|Brazil=Brasilia/South America
Bulgaria=Sofia/Europe|Cambodia=Phnom Penh/Asia|Cameroon=Yaounde/Africa|Canada=Ottawa/North America|Chile=Santiago/South America
China=Beijing/Asia|Colombia=Bogota/South America|Croatia=Zagreb/Europe|Cuba=Havana/North America|Cyprus=Nicosia/Europe
Denmark=Copenhagen/Europe|Ecuador=Quito/South America|Egypt=Cairo/Africa|Estonia=Tallinn/Europe|Ethiopia=Addis Ababa/Africa
Fiji=Suva/Oceania|Finland=Helsinki/Europe|France=Paris/Europe|Gabon=Libreville/Africa|Georgia=Tbilisi/Asia
Germany=Berlin/Europe|Ghana=Accra/Africa|Greece=Athens/Europe|Guyana=Georgetown/South America|Haiti=Port-au-Prince/North America
Honduras=Tegucigalpa/North America|Hungary=Budapest/Europe|Iceland=Reykjavik/Europe|India=New Delhi/Asia|Indonesia=Jakarta/Asia
Iran=Tehran/Asia|Iraq=Baghdad/Asia|Ireland=Dublin/Europe|Italy=Rome/Europe|Jamaica=Kingston/North America
Japan=Tokyo/Asia|Jordan=Amman/Asia|Kenya=Nairobi/Africa|Laos=Vientiane/Asia|Latvia=Riga/Europe
Lebanon=Beirut/Asia|Libya=Tripoli/Africa|Lithuania=Vilnius/Europe|Madagascar=Antananarivo/Africa|Malaysia=Kuala Lumpur/Asia
Mali=Bamako/Africa|Malta=Valletta/Europe|Mongolia=Ulaanbaatar/Asia|Morocco=Rabat/Africa|Mozambique=Maputo/Africa
Namibia=Windhoek/Africa|Nepal=Kathmandu/Asia|New Zealand=Wellington/Oceania|Nicaragua=Managua/North America|Nigeria=Abuja/Africa
Norway=Oslo/Europe|Oman=Muscat/Asia|Pakistan=Islamabad/Asia|Paraguay=Asuncion/South America|Peru=Lima/South America
Poland=Warsaw/Europe|Portugal=Lisbon/Europe|Qatar=Doha/Asia|Romania=Bucharest/Europe|Russia=Moscow/Europe
Rwanda=Kigali/Africa|Senegal=Dakar/Africa|Serbia=Belgrade/Europe|Slovakia=Bratislava/Europe|Slovenia=Ljubljana/Europe
Somalia=Mogadishu/Africa|South Korea=Seoul/Asia|Spain=Madrid/Europe|Sudan=Khartoum/Africa|Sweden=Stockholm/Europe
Switzerland=Bern/Europe|Syria=Damascus/Asia|Thailand=Bangkok/Asia|Tunisia=Tunis/Africa|Turkey=Ankara/Asia
Uganda=Kampala/Africa|Ukraine=Kyiv/Europe|Uruguay=Montevideo/South America|Venezuela=Caracas/South America|Vietnam=Hanoi/Asia
Yemen=Sanaa/Asia|Zambia=Lusaka/Africa|Zimbabwe=Harare/Africa
""".strip().replace("\n", "|").split("|"))

CURRENCIES = dict(pair.split("=") for pair in (
    "Japan=yen|China=yuan|India=rupee|Russia=rouble|Brazil=real|Poland=zloty|Hungary=forint|Turkey=lira|Thailand=baht|"
    "Vietnam=dong|South Korea=won|Mexico=peso|Sweden=krona|Norway=krone|Switzerland=franc|Germany=euro|France=euro|"
    "Italy=euro|Spain=euro|Canada=dollar|Australia=dollar|Nigeria=naira|Kenya=shilling|Ghana=cedi|Egypt=pound|"
    "Peru=sol|Bangladesh=taka|Mongolia=tugrik|Romania=leu|Bulgaria=lev").split("|"))

ELEMENTS = dict(pair.split("=") for pair in (
    "hydrogen=H|helium=He|lithium=Li|carbon=C|nitrogen=N|oxygen=O|fluorine=F|neon=Ne|sodium=Na|magnesium=Mg|aluminium=Al|"
    "silicon=Si|phosphorus=P|sulphur=S|chlorine=Cl|argon=Ar|potassium=K|calcium=Ca|titanium=Ti|chromium=Cr|iron=Fe|"
    "cobalt=Co|nickel=Ni|copper=Cu|zinc=Zn|silver=Ag|tin=Sn|iodine=I|gold=Au|mercury=Hg|lead=Pb|uranium=U").split("|"))

OPPOSITES = dict(pair.split("=") for pair in (
    "hot=cold|big=small|fast=slow|high=low|light=dark|young=old|rich=poor|hard=soft|wet=dry|full=empty|open=closed|"
    "happy=sad|strong=weak|early=late|near=far|left=right|up=down|in=out|day=night|black=white|long=short|thick=thin|"
    "wide=narrow|clean=dirty|loud=quiet|easy=difficult|safe=dangerous|cheap=expensive|deep=shallow|sweet=sour|"
    "true=false|first=last|brave=afraid|smooth=rough|heavy=weightless|begin=end|buy=sell|win=lose|push=pull|"
    "love=hate|war=peace|north=south|east=west|summer=winter|sharp=blunt|alive=dead|awake=asleep|friend=enemy").split("|"))

PLURALS = dict(pair.split("=") for pair in (
    "mouse=mice|child=children|foot=feet|tooth=teeth|goose=geese|man=men|woman=women|person=people|ox=oxen|leaf=leaves|"
    "knife=knives|wolf=wolves|life=lives|city=cities|baby=babies|box=boxes|bus=buses|dish=dishes|potato=potatoes|"
    "tomato=tomatoes|sheep=sheep|deer=deer|fish=fish|cat=cats|house=houses|book=books|tree=trees|half=halves|"
    "wife=wives|story=stories").split("|"))

PASTS = dict(pair.split("=") for pair in (
    "go=went|see=saw|eat=ate|run=ran|come=came|give=gave|take=took|make=made|write=wrote|speak=spoke|break=broke|"
    "drive=drove|fly=flew|swim=swam|sing=sang|drink=drank|begin=began|find=found|think=thought|bring=brought|buy=bought|"
    "catch=caught|teach=taught|sleep=slept|keep=kept|leave=left|feel=felt|meet=met|read=read|send=sent|build=built|"
    "lose=lost|hold=held|stand=stood|know=knew|grow=grew|throw=threw|draw=drew|wear=wore|win=won|walk=walked|play=played").split("|"))

YOUNG = dict(pair.split("=") for pair in (
    "dog=puppy|cat=kitten|cow=calf|horse=foal|sheep=lamb|goat=kid|pig=piglet|hen=chick|duck=duckling|goose=gosling|"
    "lion=cub|deer=fawn|frog=tadpole|kangaroo=joey|owl=owlet|swan=cygnet|hare=leveret|seal=pup").split("|"))

LEGS = dict(pair.split("=") for pair in (
    "spider=8|ant=6|bee=6|dog=4|cat=4|horse=4|hen=2|duck=2|snake=0|crab=10|beetle=6|cow=4|scorpion=8|fish=0|penguin=2|fly=6").split("|"))

COLOURS = dict(pair.split("=") for pair in (
    "grass=green|snow=white|coal=black|a banana=yellow|a carrot=orange|blood=red|milk=white|a lemon=yellow|chocolate=brown|"
    "a strawberry=red|an elephant=grey|a flamingo=pink|the clear sky=blue|a plum=purple").split("|"))

SIDES = dict(pair.split("=") for pair in (
    "triangle=3|square=4|rectangle=4|pentagon=5|hexagon=6|heptagon=7|octagon=8|nonagon=9|decagon=10").split("|"))

# thing: (count, parts)
UNITS = {"week": (7, "days"), "day": (24, "hours"), "hour": (60, "minutes"), "minute": (60, "seconds"),
         "year": (12, "months"), "century": (100, "years"), "decade": (10, "years"), "metre": (100, "centimetres"),
         "kilometre": (1000, "metres"), "kilogram": (1000, "grams"), "dozen": (12, "pieces"), "fortnight": (14, "days"),
         "byte": (8, "bits"), "leap year": (366, "days"), "millennium": (1000, "years"), "quarter": (3, "months")}

PLANETS = "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()

LISTS = {
    "colours": "red blue green yellow black white", "fruits": "apple pear banana cherry grape plum",
    "vegetables": "carrot potato onion cabbage pea bean", "animals": "dog cat horse cow sheep lion",
    "birds": "owl eagle duck swan robin crow", "metals": "iron gold silver copper zinc tin",
    "planets": "Mercury Venus Earth Mars Jupiter Saturn", "days": "Monday Tuesday Wednesday Thursday Friday Saturday",
    "months": "January February March April May June", "instruments": "piano violin flute guitar drum trumpet",
    "sports": "football tennis swimming running rowing cycling", "drinks": "water tea coffee milk juice lemonade",
    "tools": "hammer saw drill file spanner chisel", "trees": "oak pine birch maple beech willow",
    "languages": "English Spanish French Arabic Hindi Japanese", "countries": "France Spain Italy Japan Brazil Kenya",
    "even numbers": "2 4 6 8 10 12", "odd numbers": "1 3 5 7 9 11", "letters": "A B C D E F",
    "services of Relay": "ingress planner cache scheduler workers sink",
}

NAMES = ("Anna Ben Clara David Emma Felix Grace Henry Ida Jonas Kate Leo Mary Noah Olga Paul Rosa Sam Tina Victor "
         "Wendy Xaver Yara Zoe Alice Boris Carl Dora Erik Frida").split()

# What Relay's own words mean.
RELAY = {
    "Relay": "Relay is a gateway for language models: it plans, caches, queues, runs and records every request.",
    "the ingress": "The ingress accepts HTTP requests, writes them to the log and streams the answers back.",
    "the planner": "The planner turns a request and the policy into an execution plan.",
    "the cache service": "The cache service answers a request from an earlier answer when that is safe.",
    "the scheduler": "The scheduler queues requests fairly and dispatches them only against credits.",
    "a worker": "A worker runs a model and streams its tokens.",
    "the trace sink": "The trace sink folds outcomes into traces and the usage ledger.",
    "replay": "Replay runs recorded requests again under another policy and compares the decisions.",
    "the bus": "The bus is the log between the services: Kafka in production, an embedded log by default.",
    "the control seam": "The control seam carries replies, status and cancels: NATS in production, channels in one process.",
    "the store": "The store keeps traces, keys and usage in SQLite or Postgres.",
    "an envelope": "An envelope is the record that each service enriches as a request moves on.",
    "an outcome": "An outcome is the one record that ends a request and holds its whole story.",
    "a lease": "A lease names the worker, the attempt and the epoch under which a request may run.",
    "a credit": "A credit is a free slot that a worker reports to the scheduler.",
    "a deadline": "A deadline is the time by which a request must end; every service checks it.",
    "a dead letter": "A dead letter is a record that could not be processed and was put aside.",
    "a lane": "A lane is the short or the long queue inside one tenant.",
    "an execution plan": "An execution plan names the pool, the model, the limits and the cache flags of a request.",
    "a decision trace": "A decision trace lists each rule that matched or not, with the values it saw.",
    "a policy": "A policy is the file of rules by which the planner decides.",
    "provenance": "Provenance says from which request and model a cached answer came.",
    "the exact cache": "The exact cache answers a request that is identical to an earlier one.",
    "the semantic cache": "The semantic cache answers a question that means the same as an earlier one.",
    "single flight": "Single flight lets identical requests wait for one answer instead of running twice.",
    "a virtual token counter": "A virtual token counter charges each tenant for the tokens it used.",
    "admission": "Admission refuses a request early when it would miss its target.",
    "a tenant": "A tenant is a customer whose requests, limits and cache are kept apart from all others.",
    "a pool": "A pool is a group of workers that serve the same models.",
    "an idempotency key": "An idempotency key makes a repeated request meet the first one.",
    "a plan signature": "A plan signature covers everything that changes an answer.",
    "a batch": "A batch is a file of requests that run when there is room.",
    "Kafka": "Kafka is the log that Relay uses in production.",
    "NATS": "NATS carries replies and control messages in production.",
    "Redis": "Redis shares the exact cache and the limits between replicas.",
    "Postgres": "Postgres keeps traces, keys and usage in production.",
    "fjall": "Fjall is the embedded store under the log when nothing is installed.",
    "ONNX Runtime": "ONNX Runtime is the engine that runs local models.",
    "a KV cache": "A KV cache keeps the keys and values of earlier tokens so that they are computed once.",
    "prefill": "Prefill reads the whole prompt before the first token is produced.",
    "decode": "Decode produces the answer one token at a time.",
    "TTFT": "TTFT is the time to first token.",
    "TPOT": "TPOT is the time per output token.",
    "continuous batching": "Continuous batching lets requests join and leave a running batch at any step.",
    "draining": "Draining means to stop taking work, finish what runs and then leave.",
    "a tokenizer": "A tokenizer cuts text into tokens and joins them again.",
    "an embedding": "An embedding is a vector that stands for the meaning of a text.",
    "a token": "A token is a piece of text that the model reads or writes at once.",
    "backpressure": "Backpressure slows the sender down when the receiver is full.",
    "a heartbeat": "A heartbeat is a regular sign that a service is alive.",
    "a breaker": "A breaker stops calls to a provider that keeps failing.",
    "a quota": "A quota limits how much a tenant may use in a given time.",
}
