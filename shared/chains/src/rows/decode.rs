//! Plain text of what may be compressed. Decompressing is as much work as reading the rows, so a thread of its own does
//! it.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

const BUFFER_BYTES: usize = 256 * 1024;
/// One being read, one full, one being filled.
const BUFFERS: usize = 3;

/// Calls `read` with the text of `reader`, which is told by its first bytes to be plain or compressed with gzip or zstd.
/// `taken` counts the bytes taken from `reader` so far.
///
/// A thread that decompresses ends when `read` returns, at the latest after the call of `reader` it is in. Its error
/// comes after all text before it. Compressed data that ends early is an error of the kind `UnexpectedEof`.
pub(super) fn with_text<T>(
    reader: impl Read + Send,
    taken: &AtomicU64,
    read: impl FnOnce(&mut dyn Read) -> T,
) -> io::Result<T> {
    let mut reader = Counting { inner: reader, taken };
    let mut magic = Vec::with_capacity(4);
    reader.by_ref().take(4).read_to_end(&mut magic)?;
    let kind: [u8; 4] = std::array::from_fn(|i| magic.get(i).copied().unwrap_or(0));
    let mut reader = io::Cursor::new(magic).chain(reader);
    match kind {
        [0x1f, 0x8b, ..] => beside(flate2::read::MultiGzDecoder::new(reader), read),
        [0x28, 0xb5, 0x2f, 0xfd] => beside(zstd::stream::read::Decoder::new(reader)?, read),
        _ => Ok(read(&mut reader)),
    }
}

fn beside<T>(decoder: impl Read + Send, read: impl FnOnce(&mut dyn Read) -> T) -> io::Result<T> {
    // The number of buffers bounds both channels.
    let (fill, filled) = mpsc::channel();
    let (empty, emptied) = mpsc::channel();
    let spent = std::iter::repeat_n((), BUFFERS).map(|()| vec![0; BUFFER_BYTES]);
    let mut text = Decoded { filled, empty, spent: spent.collect(), current: Vec::new(), at: 0 };
    text.give_back();
    thread::scope(|scope| {
        let decompress = move || fill_buffers(decoder, &emptied, &fill);
        thread::Builder::new().name("decompress".to_owned()).spawn_scoped(scope, decompress)?;
        // By value, so that the channels close, and the thread with them, before the scope waits for it.
        let mut text = text;
        Ok(read(&mut text))
    })
}

type Filled = io::Result<Vec<u8>>;

/// Fills buffers until the text ends or nobody wants it any more.
fn fill_buffers(mut decoder: impl Read, emptied: &Receiver<Vec<u8>>, fill: &Sender<Filled>) {
    while let Ok(mut buffer) = emptied.recv() {
        let mut used = 0;
        let stopped = loop {
            match decoder.read(&mut buffer[used..]) {
                Ok(0) => break (used < buffer.len()).then_some(Ok(())),
                Ok(count) => used += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(Err(named(error))),
            }
        };
        buffer.truncate(used);
        let sent = fill.send(Ok(buffer));
        match stopped {
            None if sent.is_ok() => {}
            Some(Err(error)) => {
                // Nobody is there to be told if this fails.
                drop(fill.send(Err(error)));
                return;
            }
            _ => return,
        }
    }
}

fn named(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), format!("truncated: the compressed data ends before its end ({error})"))
        }
        kind => io::Error::new(kind, format!("the compressed data is damaged ({error})")),
    }
}

struct Decoded {
    filled: Receiver<Filled>,
    empty: Sender<Vec<u8>>,
    spent: Vec<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

impl Decoded {
    fn give_back(&mut self) {
        for buffer in self.spent.drain(..) {
            // The thread has ended when it takes no more.
            drop(self.empty.send(buffer));
        }
    }
}

impl Read for Decoded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // What comes next may be empty, before an error: not the end.
        while self.at == self.current.len() {
            let Ok(next) = self.filled.recv() else { return Ok(0) };
            let before = std::mem::replace(&mut self.current, next?);
            self.at = 0;
            if before.len() == BUFFER_BYTES {
                self.spent.push(before);
                self.give_back();
            }
        }
        let count = into.len().min(self.current.len() - self.at);
        into[..count].copy_from_slice(&self.current[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

struct Counting<'a, R> {
    inner: R,
    taken: &'a AtomicU64,
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
