//! What `relay topics` and `relay dead-letters` take.

use clap::{Args, Subcommand};

use crate::topics::ask::{Letters, MOST_NEWEST, Place, Places, Read, Selection};

/// Look after the topics.
#[derive(Debug, Subcommand)]
pub enum Topics {
    /// Make the topics what the manifest says, and say what was done; never deletes one
    #[command(
        after_help = "For example:\n  relay topics apply\n  relay topics apply --config deploy/relay.production.yaml"
    )]
    Apply,
    /// Print the offsets that every partition holds
    Offsets(PrintOffsets),
    /// Print records of a topic as JSON lines, partition by partition, oldest first, up to its present end
    #[command(
        after_help = "For example:\n  relay topics read relay.outcomes.v1\n  relay topics read relay.batch.results.v1 --follow | jq .key\n\n\
                      Ctrl-C ends --follow, with exit code 0."
    )]
    Read(ReadTopic),
    /// Print the newest records of a topic as JSON lines, in the order in which the log took them
    #[command(
        after_help = "For example:\n  relay topics tail relay.requests.v1 -n 3\n  relay topics tail relay.outcomes.v1 --follow"
    )]
    Tail(TailTopic),
}

/// How to print offsets.
#[derive(Debug, Args)]
pub struct PrintOffsets {
    /// Print JSON lines instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Which records to print.
#[derive(Debug, Args)]
pub struct ReadTopic {
    /// The topic, for example relay.outcomes.v1
    pub topic: String,
    /// Also print prompts and answers, which are left out otherwise
    #[arg(long)]
    pub content: bool,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
}

/// Which of the newest records to print.
#[derive(Debug, Args)]
pub struct TailTopic {
    /// How many
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 10, value_parser = newest)]
    pub number: usize,
    /// Which topic, and how
    #[command(flatten)]
    pub read: ReadTopic,
}

fn newest(text: &str) -> Result<usize, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=MOST_NEWEST).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {MOST_NEWEST}"))
}

/// What is asked by it.
pub fn read(asked: ReadTopic, newest: Option<usize>) -> (String, Read) {
    let ReadTopic {
        topic,
        content,
        follow,
    } = asked;
    (
        topic,
        Read {
            newest,
            follow,
            content,
        },
    )
}

/// Look after what no service could use.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List those that are open
    #[command(
        after_help = "For example:\n  relay dead-letters list\n  relay dead-letters list --service trace-sink --json\n  relay dead-letters list --all"
    )]
    List(ListLetters),
    /// Print all of one: its record's headers too, with --content its value
    #[command(
        after_help = "For example:\n  relay dead-letters show 0/17\n  relay dead-letters show 0/17 --content"
    )]
    Show(ShowLetter),
    /// Put records back where they lay, byte for byte; what has ended is not run again
    #[command(
        after_help = "For example:\n  relay dead-letters resend 0/17\n  relay dead-letters resend --service trace-sink\n\n\
                      Exit code 1 says that one was kept: each line says why. docs/dead-letters.md has what can be sent again."
    )]
    Resend(CloseLetters),
    /// Close letters without sending anything; `list --all` still has them
    #[command(
        after_help = "For example:\n  relay dead-letters discard 0/17 0/18\n  relay dead-letters discard --tenant acme\n  relay dead-letters discard --every"
    )]
    Discard(CloseLetters),
}

/// Which to choose.
#[derive(Debug, Default, Args)]
pub struct Filters {
    /// Only those of records of this topic
    #[arg(long)]
    pub topic: Option<String>,
    /// Only those that this service gave up: planner, cache-service, scheduler, workers, trace-sink, ingress
    #[arg(long)]
    pub service: Option<String>,
    /// Only those of this class
    #[arg(long, value_parser = ["poison", "retries_exhausted"])]
    pub class: Option<String>,
    /// Only those of this tenant
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only those of this request
    #[arg(long, value_name = "REQUEST_ID")]
    pub request: Option<String>,
}

/// How to list.
#[derive(Debug, Args)]
pub struct ListLetters {
    /// Which ones
    #[command(flatten)]
    pub filters: Filters,
    /// Also those that were resent or discarded
    #[arg(long)]
    pub all: bool,
    /// Print JSON lines instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Which to show.
#[derive(Debug, Args)]
pub struct ShowLetter {
    /// Where it lies, as `list` says: 0/17
    #[arg(value_name = "LETTER")]
    pub letter: Place,
    /// Also print the record's value, which may hold prompts and answers
    #[arg(long)]
    pub content: bool,
}

/// Which to close.
#[derive(Debug, Args)]
pub struct CloseLetters {
    /// Where they lie, as `list` says: 0/17
    #[arg(value_name = "LETTER")]
    pub letters: Vec<Place>,
    /// Which ones
    #[command(flatten)]
    pub filters: Filters,
    /// All that are open
    #[arg(long)]
    pub every: bool,
    /// Print JSON lines
    #[arg(long)]
    pub json: bool,
}

impl From<&ListLetters> for Letters {
    fn from(asked: &ListLetters) -> Self {
        let Filters {
            topic,
            service,
            class,
            tenant,
            request,
        } = &asked.filters;
        Self {
            topic: topic.clone(),
            service: service.clone(),
            class: class.clone(),
            tenant: tenant.clone(),
            request: request.clone(),
            all: asked.all,
            ..Self::default()
        }
    }
}

impl From<&ShowLetter> for Letters {
    fn from(asked: &ShowLetter) -> Self {
        Self {
            named: Places(vec![asked.letter]),
            all: true,
            whole: true,
            content: asked.content,
            ..Self::default()
        }
    }
}

impl From<&CloseLetters> for Selection {
    fn from(asked: &CloseLetters) -> Self {
        let Filters {
            topic,
            service,
            class,
            tenant,
            request,
        } = &asked.filters;
        Self {
            named: Places(asked.letters.clone()),
            topic: topic.clone(),
            service: service.clone(),
            class: class.clone(),
            tenant: tenant.clone(),
            request: request.clone(),
            every: asked.every,
        }
    }
}
