//! The text of `perf script`, read.

use super::place::Place;

/// What one moment showed: which thread ran, and what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// The thread's name, of which the kernel keeps 15 bytes.
    pub thread: String,
    /// What ran, then who called it, and so on.
    pub frames: Vec<Frame>,
}

/// One function on the stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Where in `file`, bytes from its beginning.
    pub offset: u64,
    /// As the executable names it; what was inlined into it stands in `places` alone.
    pub symbol: String,
    /// The file that was mapped there, `[kernel.kallsyms]` for the kernel.
    pub file: String,
    /// What was inlined there, the innermost first, and the function itself; empty where the file says nothing of it.
    pub places: Vec<Place>,
}

/// Reads what `perf script -F comm,tid,ip,sym,dso` prints: a line of the thread, a line a frame, an empty line.
pub fn read(text: &str) -> Vec<Sample> {
    let blocks = text.split("\n\n").map(str::trim_end);
    blocks.filter_map(sample).collect()
}

fn sample(block: &str) -> Option<Sample> {
    let mut lines = block.lines().skip_while(|line| line.is_empty());
    // The name may hold spaces, the number behind it does not.
    let (thread, _) = lines.next()?.trim().rsplit_once(char::is_whitespace)?;
    Some(Sample {
        thread: thread.trim().to_owned(),
        frames: lines.filter_map(frame).collect(),
    })
}

fn frame(line: &str) -> Option<Frame> {
    let (offset, rest) = line.trim().split_once(' ')?;
    // Symbols hold parentheses of their own.
    let (symbol, file) = rest.rsplit_once(" (")?;
    Some(Frame {
        offset: u64::from_str_radix(offset, 16).ok()?,
        symbol: symbol.to_owned(),
        file: file.strip_suffix(')')?.to_owned(),
        places: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "tokio-rt-worker 23146 \n\
        \tffffffff822004c9 _raw_spin_unlock_irqrestore ([kernel.kallsyms])\n\
        \t          101829 syscall (/usr/lib/x86_64-linux-gnu/libc.so.6)\n\
        \t         1dc20bd flume::Shared<T>::send (/a b/relay)\n\
        \t         1c37eed a::_::<impl b::Serialize for (c, d)>::serialize (/a b/relay)\n\
        \tffffffffffffffff [unknown] ([unknown])\n\
        \n\
        two words 7 \n\
        \t               1 main (/bin/x)\n\n";

    #[test]
    fn threads_symbols_and_files_with_spaces_and_parentheses_are_read() {
        let samples = read(TEXT);
        let threads: Vec<&str> = samples.iter().map(|sample| sample.thread.as_str()).collect();
        assert_eq!(threads, ["tokio-rt-worker", "two words"]);
        let seen: Vec<(u64, &str, &str)> = samples[0]
            .frames
            .iter()
            .map(|frame| (frame.offset, frame.symbol.as_str(), frame.file.as_str()))
            .collect();
        assert_eq!(
            seen[1..4],
            [
                (0x10_1829, "syscall", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
                (0x1dc_20bd, "flume::Shared<T>::send", "/a b/relay"),
                (
                    0x1c3_7eed,
                    "a::_::<impl b::Serialize for (c, d)>::serialize",
                    "/a b/relay"
                ),
            ]
        );
        assert_eq!(seen.len(), 5);
        assert_eq!(read(""), []);
    }
}
