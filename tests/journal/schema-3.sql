CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

-- one physical file in one generation; the record is collect's own
CREATE TABLE segment (id INTEGER PRIMARY KEY, record BLOB NOT NULL);

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

-- the end of what a sink has durably: a contiguous prefix of the segment, with proof (keyed digest of the 4 KiB before it)
-- and what the interpreter carries there from line to line
CREATE TABLE offset (
    sink TEXT NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    digest BLOB NOT NULL,
    state BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (sink, segment)
) WITHOUT ROWID;
CREATE INDEX offset_by_segment ON offset (segment);

-- what is being sent; gone once committed
CREATE TABLE plan (id TEXT PRIMARY KEY, sink TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;

-- a refused line; sink is '' where validation refused it. sealed names the file that has its bytes encrypted ('' for none), where they begin at
-- sealed_at of what that file says; gone: the bytes were looked for in the source and are no longer there. An id is never given twice.
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

-- to which sinks a person wants a refused line delivered after all; state is asked, settled, or refused (once more)
CREATE TABLE redrive (
    entry INTEGER NOT NULL REFERENCES quarantine (id) ON DELETE CASCADE,
    sink TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (entry, sink)
) WITHOUT ROWID;

-- bytes that were gone before we could read them
CREATE TABLE loss (
    id INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL,
    source TEXT NOT NULL,
    path BLOB NOT NULL,
    start INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL
);
