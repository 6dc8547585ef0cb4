//! What `relay plan` is asked.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use relay_schemas::{Class, Operation};

use super::settings::File;

/// Which request to plan.
#[derive(Debug, Args)]
pub struct PlanRequest {
    /// File with a request's body, JSON; `-` is standard input, as is none where something is piped in
    #[arg(long, value_name = "FILE")]
    pub request: Option<PathBuf>,
    /// Operation of the API that it asks for
    #[arg(long, value_enum, default_value_t = OperationArg::Chat)]
    pub operation: OperationArg,
    /// Tenant that asks
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// How it is asked
    #[arg(long, value_enum, default_value_t = ClassArg::Interactive)]
    pub class: ClassArg,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub file: File,
}

/// Which operation to plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OperationArg {
    /// /v1/chat/completions
    Chat,
    /// /v1/completions
    Completion,
    /// /v1/embeddings
    Embedding,
}

impl From<OperationArg> for Operation {
    fn from(asked: OperationArg) -> Self {
        match asked {
            OperationArg::Chat => Self::Chat,
            OperationArg::Completion => Self::Completion,
            OperationArg::Embedding => Self::Embedding,
        }
    }
}

/// As what to plan it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClassArg {
    /// By HTTP, by a client that waits
    Interactive,
    /// As a line of a batch
    Batch,
}

impl From<ClassArg> for Class {
    fn from(asked: ClassArg) -> Self {
        match asked {
            ClassArg::Interactive => Self::Interactive,
            ClassArg::Batch => Self::Batch,
        }
    }
}
