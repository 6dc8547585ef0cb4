//! A graph in ONNX Runtime: which inputs it wants, and one step of one sequence through it.

use std::borrow::Cow;
use std::path::Path;

use ort::environment::Environment;
use ort::ep::{CUDA, CoreML, ExecutionProviderDispatch, TensorRT};
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynTensor, DynValue, Outlet, Shape, Tensor, TensorElementType, ValueType};

use super::files::LoadError;
use crate::models::{Device, OnnxSpec};

/// The attention cache of one sequence: a tensor for each key and value of each layer, in the graph's order.
pub type Cache = Vec<DynValue>;

/// A graph that takes tokens and a cache and gives logits and a longer cache.
pub struct CausalGraph {
    session: Session,
    attention_mask: bool,
    position_ids: bool,
    integers: TensorElementType,
    cache: Vec<CacheTensor>,
}

/// One input of the cache, the output that follows it, and what it is where nothing has been seen yet.
#[derive(Debug)]
struct CacheTensor {
    past: String,
    present: String,
    kind: TensorElementType,
    empty: Shape,
}

const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
const POSITION_IDS: &str = "position_ids";
const LOGITS: &str = "logits";

impl CausalGraph {
    /// Loads the graph and checks that it is one which this engine can run.
    pub fn load(
        environment: &Environment,
        path: &Path,
        spec: &OnnxSpec,
        device: Device,
    ) -> Result<Self, LoadError> {
        let providers = providers(device);
        // Lengths differ from step to step, so remembered allocation patterns only cost memory; and idle threads must not spin.
        let session = Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_memory_pattern(false)?
            .with_intra_op_spinning(false)?
            .with_intra_threads(spec.threads)?
            .with_execution_providers(providers)?
            .commit_from_file(path)?;
        let (mut attention_mask, mut position_ids, mut integers, mut cache) =
            (false, false, None, Vec::new());
        for input in session.inputs() {
            match input.name() {
                INPUT_IDS => integers = Some(tensor(input)?.0),
                ATTENTION_MASK => attention_mask = true,
                POSITION_IDS => position_ids = true,
                name if name.starts_with("past") => cache.push(cache_tensor(input, session.outputs())?),
                name => {
                    return Err(unfit(format!(
                        "it wants the input `{name}`, which this engine does not have"
                    )));
                }
            }
        }
        let integers = integers.ok_or_else(|| unfit(format!("it has no input `{INPUT_IDS}`")))?;
        if !matches!(integers, TensorElementType::Int64 | TensorElementType::Int32) {
            return Err(unfit(format!("`{INPUT_IDS}` is {integers}, not int64 or int32")));
        }
        if cache.is_empty() {
            return Err(unfit(
                "it keeps no attention cache (no inputs `past_key_values.*`)",
            ));
        }
        match session
            .outputs()
            .iter()
            .find(|output| output.name() == LOGITS)
            .map(tensor)
        {
            Some(Ok((TensorElementType::Float32, _))) => {}
            Some(Ok((other, _))) => {
                return Err(unfit(format!("its logits are {other}; only float32 is read")));
            }
            Some(Err(error)) => return Err(error),
            None => return Err(unfit(format!("it has no output `{LOGITS}`"))),
        }
        Ok(Self {
            session,
            attention_mask,
            position_ids,
            integers,
            cache,
        })
    }

    /// Sends `tokens`, which follow `seen` others, through the graph. The cache goes in as it came out, uncopied. Gives the
    /// longer cache, and the logits after the last token if they are `wanted`.
    pub fn step(
        &mut self,
        tokens: &[u32],
        seen: usize,
        cache: Cache,
        wanted: bool,
    ) -> Result<(Cache, Vec<f32>), ort::Error> {
        let count = tokens.len();
        let integers = self.integers;
        let row = |values: Vec<i64>| integer_tensor(integers, values);
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(3 + self.cache.len());
        inputs.push((
            INPUT_IDS.into(),
            row(tokens.iter().map(|token| i64::from(*token)).collect())?.into(),
        ));
        if self.attention_mask {
            inputs.push((ATTENTION_MASK.into(), row(vec![1; seen + count])?.into()));
        }
        if self.position_ids {
            inputs.push((
                POSITION_IDS.into(),
                row((seen as i64..(seen + count) as i64).collect())?.into(),
            ));
        }
        let cache = if cache.is_empty() {
            self.empty_cache()?
        } else {
            cache
        };
        for (tensor, value) in self.cache.iter().zip(cache) {
            inputs.push((tensor.past.as_str().into(), value.into()));
        }
        let mut outputs = self.session.run(inputs)?;
        let logits = if wanted {
            last_row(&outputs[LOGITS])?
        } else {
            Vec::new()
        };
        let present = |tensor: &CacheTensor| {
            outputs
                .remove(&tensor.present)
                .ok_or_else(|| missing(&tensor.present))
        };
        let cache = self.cache.iter().map(present).collect::<Result<Cache, _>>()?;
        Ok((cache, logits))
    }

    fn empty_cache(&self) -> Result<Cache, ort::Error> {
        let allocator = self.session.allocator();
        let empty = |tensor: &CacheTensor| {
            DynTensor::new(allocator, tensor.kind, tensor.empty.clone()).map(DynTensor::into_dyn)
        };
        self.cache.iter().map(empty).collect()
    }
}

fn unfit(reason: impl std::fmt::Display) -> LoadError {
    LoadError::Graph(format!("the graph is none that this engine can run: {reason}"))
}

fn missing(output: &str) -> ort::Error {
    ort::Error::new(format!("the graph gave no output `{output}`"))
}

fn providers(device: Device) -> Vec<ExecutionProviderDispatch> {
    // What was asked for must be there: a model that silently runs on the CPU is a wrong answer to a configuration.
    match device {
        Device::Cpu => Vec::new(),
        Device::Cuda => vec![CUDA::default().build().error_on_failure()],
        Device::Tensorrt => vec![
            TensorRT::default().build().error_on_failure(),
            CUDA::default().build().error_on_failure(),
        ],
        Device::Coreml => vec![CoreML::default().build().error_on_failure()],
    }
}

fn tensor(outlet: &Outlet) -> Result<(TensorElementType, &ValueType), LoadError> {
    match outlet.dtype() {
        kind @ ValueType::Tensor { ty, .. } => Ok((*ty, kind)),
        other => Err(unfit(format!("`{}` is {other}, not a tensor", outlet.name()))),
    }
}

fn cache_tensor(input: &Outlet, outputs: &[Outlet]) -> Result<CacheTensor, LoadError> {
    // `past_key_values.0.key` and `present.0.key`; `past_0` and `present_0`.
    let suffix = |name: &str, prefixes: [&str; 2]| {
        prefixes
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .map(str::to_owned)
    };
    let wanted = suffix(input.name(), ["past_key_values", "past"]);
    let follows = |output: &&Outlet| suffix(output.name(), ["present_key_values", "present"]) == wanted;
    let present = outputs.iter().find(follows);
    let present = present.ok_or_else(|| unfit(format!("no output follows the input `{}`", input.name())))?;
    let (kind, value_type) = tensor(input)?;
    let ValueType::Tensor {
        shape,
        dimension_symbols,
        ..
    } = value_type
    else {
        return Err(unfit(format!("`{}` is not a tensor", input.name())));
    };
    // One sequence, no token seen yet: what is not fixed is the batch or the length.
    let named = dimension_symbols.iter().any(|symbol| symbol.contains("batch"));
    let size = |(at, size): (usize, &i64)| match *size {
        fixed if fixed >= 0 => fixed,
        _ if named => i64::from(dimension_symbols[at].contains("batch")),
        _ => i64::from(at == 0),
    };
    let empty = Shape::new(shape.iter().enumerate().map(size));
    Ok(CacheTensor {
        past: input.name().to_owned(),
        present: present.name().to_owned(),
        kind,
        empty,
    })
}

/// A tensor of shape `[1, n]`.
fn integer_tensor(kind: TensorElementType, values: Vec<i64>) -> Result<DynValue, ort::Error> {
    let shape = [1, values.len()];
    Ok(match kind {
        TensorElementType::Int32 => {
            let narrow: Vec<i32> = values.into_iter().map(|value| value as i32).collect();
            Tensor::from_array((shape, narrow))?.into_dyn()
        }
        _ => Tensor::from_array((shape, values))?.into_dyn(),
    })
}

/// The last row of logits of shape `[1, n, vocabulary]`.
fn last_row(logits: &DynValue) -> Result<Vec<f32>, ort::Error> {
    let (shape, values) = logits.try_extract_tensor::<f32>()?;
    let vocabulary = shape.last().map_or(0, |size| *size as usize);
    Ok(values[values.len().saturating_sub(vocabulary)..].to_vec())
}
