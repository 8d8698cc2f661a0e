-- From schema 7 to 8: the losses of a segment are found without reading all of them.
CREATE INDEX loss_by_segment ON loss (segment);
UPDATE meta SET value = CAST('8' AS BLOB) WHERE key = 'schema';
