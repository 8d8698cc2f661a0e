-- From schema 8 to 9: what rests of a segment is found without reading its record.
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
CREATE TABLE folder (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    device INTEGER NOT NULL,
    place BLOB NOT NULL,
    UNIQUE (path, device, place)
);
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
UPDATE meta SET value = CAST('9' AS BLOB) WHERE key = 'schema';
