//! What a connection may hold, phase by phase, and what the whole process may: numbers only.
//!
//! Every size that bounds memory stands here once: `buffers`, `exchange` and `worker` work with
//! them, evenkeel(8) prints them (tests/documents holds it to them), and a test measures a real
//! proxy against them. What the kernel holds (socket buffers, pipes) is not in them: it has limits
//! of its own, `net.ipv4.tcp_rmem`, `tcp_wmem` and `PIPES_MAX`.

use crate::logic::balance::hash::Table;

/// Returns the capacity of the buffer in which so many bytes are held: it fills whole blocks,
/// together with what the allocator needs for itself.
pub const fn room(bytes: usize) -> usize {
    if bytes <= SMALL_BYTES {
        SMALL_BYTES
    } else {
        (bytes + ALLOCATOR_BYTES).next_multiple_of(BLOCK_BYTES) - ALLOCATOR_BYTES
    }
}

/// Returns the memory that this buffer takes.
pub const fn taken(bytes: usize) -> usize {
    room(bytes) + ALLOCATOR_BYTES
}

/// What a connection is doing, as far as its memory is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// It waits for a request, its first or its next.
    Idle,
    /// A head has begun.
    Head,
    /// Every backend is full.
    Queue,
    /// The body of a request is being read, and nothing has come of its response.
    Upload,
    /// The backend has the request.
    Waiting,
    /// A response is being relayed.
    Relaying,
    /// It has stopped being HTTP.
    Tunnel,
    /// Its last bytes are read.
    Lingering,
}

impl Holding {
    /// All of them, in the order in which a connection comes to them.
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::Head,
        Self::Queue,
        Self::Upload,
        Self::Waiting,
        Self::Relaying,
        Self::Tunnel,
        Self::Lingering,
    ];

    /// Returns its name in the manual.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Head => "head",
            Self::Queue => "queue",
            Self::Upload => "upload",
            Self::Waiting => "waiting",
            Self::Relaying => "relaying",
            Self::Tunnel => "tunnel",
            Self::Lingering => "lingering",
        }
    }

    /// Returns the most bytes that one connection holds while it does this.
    pub const fn bytes_max(self, limits: Limits) -> usize {
        let answering = CONNECTION_BYTES + REQUEST_BYTES;
        let request = limits.sent_head();
        let direction = limits.direction();
        match self {
            Self::Idle => CONNECTION_BYTES,
            Self::Head => CONNECTION_BYTES + taken(limits.head_bytes),
            Self::Queue => answering + request + taken(AHEAD_BYTES),
            Self::Upload => answering + request + direction + TRAILERS,
            // The interim head that the client has not taken yet, and one that has not come to its
            // end.
            Self::Waiting => Self::Upload.bytes_max(limits) + 2 * RESPONSE_HEAD,
            Self::Relaying => Self::Upload.bytes_max(limits) + RESPONSE_HEAD + direction + TRAILERS,
            Self::Tunnel => {
                answering
                    + request
                    + RESPONSE_HEAD
                    + taken(AHEAD_BYTES)
                    + taken(RESPONSE_HEAD_BYTES)
            }
            Self::Lingering => answering,
        }
    }
}

/// What the configuration says of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `limits: {head_bytes}` of the listener.
    pub head_bytes: usize,
    /// `proxy: {limits: {connection_bytes}}`.
    pub connection_bytes: usize,
}

impl Limits {
    /// A head as a backend is sent it. The host may stand in it three times, and be nearly all of
    /// it.
    const fn sent_head(self) -> usize {
        taken(3 * self.head_bytes + ADDED_BYTES)
    }

    /// What is read at once and waits for its reader: in the buffer of the read where it is more
    /// than half of that. Behind a head there may be more of a body than `connection_bytes`.
    const fn direction(self) -> usize {
        if 2 * taken(self.connection_bytes) > LARGE_BYTES {
            taken(LARGE_BYTES)
        } else if self.connection_bytes > AHEAD_BYTES {
            taken(self.connection_bytes)
        } else {
            taken(AHEAD_BYTES)
        }
    }
}

/// Returns the most bytes that a proxy holds with so many connections, of which each holds so much:
/// what can be counted on when memory is planned.
pub const fn process_bytes_max(threads: usize, connections: usize, of_connection: usize) -> usize {
    PROCESS_BYTES + threads * THREAD_BYTES + connections * of_connection
}

/// Of a connection that waits: its task, what the runtime and the sweep know of it, its places in
/// tables.
pub const CONNECTION_BYTES: usize = 2048;
/// Of a request that is being answered, without its buffers.
pub const REQUEST_BYTES: usize = 3072;
/// Of a connection that speaks HTTP/2, without its streams: tables and buffers, what may have come
/// of all requests' bodies and not been taken, what may wait to be written of all responses'.
pub const HTTP2_CONNECTION_BYTES: usize = 384 * 1024;
/// Of a stream on it, beside twice the text of its head: what answers it, and for each direction a
/// block.
pub const HTTP2_STREAM_BYTES: usize = 6 * 1024 + 2 * BLOCK_BYTES;
/// The task of a stream, which is kept for the next.
const HTTP2_TASK_BYTES: usize = 1024;
/// Read at a time on a stream: a head of HTTP/1.1 and what fits into a frame;
pub const HTTP2_READ_BYTES: usize = 17 * 1024;
/// and what fits into a block, where nothing is left for more.
pub const HTTP2_READ_BYTES_MIN: usize = BLOCK_BYTES - ALLOCATOR_BYTES;
/// Sent on all streams of a connection and not written yet.
pub const HTTP2_UNSENT_BYTES: usize = 64 * 1024;
/// Buffers grow by so much. It is a page: those of a block and more are mapped each by itself
/// (`allocator`), so that they grow without being copied and leave no holes among what is small.
pub const BLOCK_BYTES: usize = 4096;
/// What the allocator needs in a mapping for itself.
pub const ALLOCATOR_BYTES: usize = 24;
/// The smallest buffer: most heads, with what is added to them.
pub const SMALL_BYTES: usize = 2048;
/// The buffer of a read: enough that large bodies need few calls.
pub const LARGE_BYTES: usize = 256 * 1024;
/// A read while a head is expected, and the most that is held of what a client sends ahead; what
/// comes behind a large body's beginning is not copied.
pub const AHEAD_BYTES: usize = 64 * 1024;
/// The head of a response; also the largest that `head_bytes` may be.
pub const RESPONSE_HEAD_BYTES: usize = 64 * 1024;
/// What is added to a head, besides its host.
pub const ADDED_BYTES: usize = 512;
/// Trailers as they came, and as they are sent on.
pub const TRAILER_BYTES: usize = 8 * 1024;
/// A response's head as the client is sent it.
const RESPONSE_HEAD: usize = taken(RESPONSE_HEAD_BYTES + ADDED_BYTES);
/// Read from, filtered and waiting for the reader.
const TRAILERS: usize = 3 * TRAILER_BYTES;

/// Kinds of buffers below the large one that are kept for the next use: of 2 kB and of one to five
/// blocks, into which a frame fits. Larger ones go back to the system at once.
pub const SHELVES: usize = 6;
/// Kept of each kind for a while, bytes.
pub const SHELF_BYTES: usize = 2 * 1024 * 1024;
/// Large buffers kept for a while; most reads give theirs back at once.
pub const LARGE_KEPT: usize = 16;
/// Evictions for requests being answered, kept for a while.
pub const FUTURES_KEPT: usize = 1024;
/// Lines of the access log that wait for the disk, of one worker.
pub const LOG_BYTES: usize = 2 * 1024 * 1024;
/// When so much has gone since memory was last given back to the system, it is given back again.
pub const TRIM_BYTES: usize = 1024 * 1024;
/// Of a worker, whatever its connections do: what is kept for the next use, its lines of the
/// access log, and what may be free and not have gone back to the system.
pub const THREAD_BYTES: usize = SHELVES * SHELF_BYTES
    + LARGE_KEPT * taken(LARGE_BYTES)
    + FUTURES_KEPT * (REQUEST_BYTES + HTTP2_TASK_BYTES)
    + LOG_BYTES
    + 2 * TRIM_BYTES;
/// Of a pool that hashes: its table.
pub const TABLE_BYTES: usize = Table::BYTES;
/// Of the process: its program, its libraries and its configuration.
pub const PROCESS_BYTES: usize = 12 * 1024 * 1024;
/// Clients whose rate is remembered side by side: of those one is forgotten where all are busy.
pub const WAYS: usize = 8;
/// Of each client whose rate is remembered, for each limit that remembers clients: a tag and a
/// moment.
pub const RATED_CLIENT_BYTES: usize = 16;
