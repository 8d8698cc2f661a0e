CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

-- One physical file in one generation; the record is the tailer's own. protection is what the daemon
-- did to keep the bytes readable when the name is removed: link (a hard link), descriptor (an open
-- file, which ends with the daemon), none, or '' (not recorded yet). can_link: whether the last hard
-- link that was wanted could be made (NULL: none was wanted yet).
CREATE TABLE segment (
    id INTEGER PRIMARY KEY,
    record BLOB NOT NULL,
    protection TEXT NOT NULL DEFAULT '',
    can_link INTEGER
);

-- What of a segment says whether its record has to be loaded at a start. folder is NULL if it always
-- is, and name is a number made of the path. missed_at: since when (in seconds since the epoch) the
-- file was not found although its folder was there.
CREATE TABLE segment_key (
    segment INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    folder INTEGER,
    name INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    prefix INTEGER NOT NULL,
    size INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    missed_at REAL
);

-- The folders of the segments that need not be loaded, and on which file system each was.
CREATE TABLE folder (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    device INTEGER NOT NULL,
    place BLOB NOT NULL,
    UNIQUE (path, device, place)
);

-- By what segments are found that were not loaded. These are tables because a check of the whole
-- file looks up each entry of an index: of a million segments that takes seconds.
CREATE TABLE segment_by_inode (
    inode INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    PRIMARY KEY (inode, segment)
) WITHOUT ROWID;
CREATE TABLE segment_by_prefix (
    prefix INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    PRIMARY KEY (prefix, segment)
) WITHOUT ROWID;

-- Where lines of a segment end, with digests: they say how far a file that was shortened or rewritten
-- is unchanged. The body is the tailer's own.
CREATE TABLE landmark (segment INTEGER PRIMARY KEY, body BLOB NOT NULL);

-- The last file of each path that was delivered and forgotten, the youngest ones: its record, how far
-- it was delivered, and its landmarks. name is a number made of the path; at is when it was forgotten.
CREATE TABLE former_file (
    name INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    record BLOB NOT NULL,
    reach INTEGER NOT NULL,
    landmarks BLOB
);

-- What an event's id has of each file that was interpreted: its folder below the root of its source,
-- a digest of its first line, both as redacted, and which of those files it is that have the same
-- name and first line. These are counted in file_name, also when the files are long gone; day is when
-- the last one came, in days since the epoch.
CREATE TABLE file_identity (
    segment INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    folder TEXT NOT NULL,
    first BLOB NOT NULL
);
CREATE TABLE file_name (
    digest BLOB PRIMARY KEY,
    generations INTEGER NOT NULL,
    day INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE sink (
    name TEXT PRIMARY KEY,
    destination TEXT NOT NULL,
    lines INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    batches INTEGER NOT NULL DEFAULT 0,
    retries INTEGER NOT NULL DEFAULT 0,
    committed_at REAL,
    state TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- The sources that each sink takes, as of when it last began. If it no longer takes one, it has an
-- offset for each of the source's segments (0 if it has nothing): what it lacks of them when they go
-- is its loss.
CREATE TABLE sink_source (
    sink TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (sink, source)
) WITHOUT ROWID;

-- The end of what a sink has durably: a contiguous prefix of the segment, with proof (a keyed digest
-- of the 4 KiB before it) and the interpreter's state at that point. Without a digest the offset is
-- the size of a file that could not be read when a sink began that starts "now".
CREATE TABLE offset (
    sink TEXT NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    digest BLOB NOT NULL,
    state BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (sink, segment)
) WITHOUT ROWID;
CREATE INDEX offset_by_segment ON offset (segment);

-- What is being sent; the row is removed by the commit.
CREATE TABLE plan (id TEXT PRIMARY KEY, sink TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;

-- A rejected line; sink is '' if validation rejected it. sealed names the file that has its bytes
-- encrypted ('' for none), sealed_at is where they begin in its plain text. gone: the bytes were
-- looked for in the source and not found. An id is never used twice.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    segment INTEGER NOT NULL,
    sink TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    source TEXT NOT NULL,
    path BLOB NOT NULL,
    generation INTEGER NOT NULL,
    reason TEXT NOT NULL,
    digest BLOB,
    at REAL NOT NULL,
    sealed TEXT NOT NULL DEFAULT '',
    sealed_at INTEGER NOT NULL DEFAULT 0,
    gone INTEGER NOT NULL DEFAULT 0,
    UNIQUE (segment, start, sink)
);

-- To which sinks a rejected line is to be delivered after all; state is asked, settled, or refused
-- (once more).
CREATE TABLE redrive (
    entry INTEGER NOT NULL REFERENCES quarantine (id) ON DELETE CASCADE,
    sink TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (entry, sink)
) WITHOUT ROWID;

-- Bytes that were gone before they could be read; sink is one that lacks them, '' if every sink that
-- takes the source does. counted is 0 if nobody knows how many there were.
CREATE TABLE loss (
    id INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL,
    source TEXT NOT NULL,
    path BLOB NOT NULL,
    start INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    sink TEXT NOT NULL DEFAULT '',
    counted INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX loss_by_segment ON loss (segment);

-- What the metrics have counted, by name and label values (a JSON array).
CREATE TABLE counter (
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (name, labels)
) WITHOUT ROWID;
