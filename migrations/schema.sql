CREATE TRIGGER generations_end AFTER UPDATE OF state ON jobs WHEN NEW.state NOT IN ('queued', 'running') BEGIN
    UPDATE generations SET embedding = NULL WHERE job_id = NEW.id;
END;

CREATE TRIGGER generations_forget BEFORE DELETE ON faces BEGIN
    DELETE FROM generations WHERE subject_id = OLD.subject_id;
END;

CREATE TRIGGER import_items_forget BEFORE DELETE ON faces BEGIN
    DELETE FROM import_also WHERE item_id IN (SELECT id FROM import_items WHERE face_id = OLD.id);
    UPDATE import_items SET name = '', sentence = '', outcome = 'erased', face_id = NULL WHERE face_id = OLD.id;
END;

CREATE TRIGGER replays_forget_faces BEFORE DELETE ON faces BEGIN
    UPDATE replays SET request_hash = NULL, location = '', answer = NULL
        WHERE id IN (SELECT replay_id FROM replay_faces WHERE face_id = OLD.id);
END;

CREATE TRIGGER replays_forget_subjects BEFORE DELETE ON subjects BEGIN
    UPDATE replays SET request_hash = NULL, location = '', answer = NULL, subject_id = NULL WHERE subject_id = OLD.id;
END;

CREATE TABLE api_keys (
    row_id INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,            -- stands in the key's text, in logs and in audit rows
    hash_front INTEGER NOT NULL,        -- the first 8 bytes of the hash: finds the row, proves nothing
    hash BLOB NOT NULL,                 -- SHA-256 of the key's text
    name TEXT NOT NULL,
    scopes INTEGER NOT NULL,            -- bits: 1 identify, 2 enroll, 4 delete, 8 images, 16 admin
    collection_id INTEGER REFERENCES collections (id) ON DELETE CASCADE,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,        -- 0: never
    last_used_ms INTEGER NOT NULL DEFAULT 0,
    revoked_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,                -- key id, or "daemon"
    action TEXT NOT NULL,
    objects TEXT NOT NULL,              -- JSON
    hash BLOB NOT NULL                  -- SHA-256 over the previous hash and this row
) STRICT;

CREATE TABLE collection_models (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    model_id INTEGER NOT NULL REFERENCES models (id),
    since_ms INTEGER NOT NULL
, settings TEXT) STRICT;

CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    model_id INTEGER NOT NULL REFERENCES models (id),
    keep TEXT NOT NULL CHECK (keep IN ('none', 'crop', 'photo')),
    settings TEXT NOT NULL,             -- JSON: thresholds, retention
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE crops (
    face_id INTEGER PRIMARY KEY REFERENCES faces (id) ON DELETE CASCADE,
    side_px INTEGER NOT NULL,
    crc32c INTEGER NOT NULL,
    webp BLOB NOT NULL                  -- lossless
) STRICT;

CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    model_id INTEGER NOT NULL REFERENCES models (id),
    norm REAL NOT NULL,                 -- before normalising, 0: unknown
    crc32c INTEGER NOT NULL,
    vector BLOB NOT NULL,               -- little-endian fp32, unit length
    UNIQUE (face_id, model_id)
) STRICT;

CREATE TABLE faces (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the index holds the embedding under this id
    uuid TEXT NOT NULL UNIQUE,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    subject_id INTEGER NOT NULL REFERENCES subjects (id) ON DELETE CASCADE,
    source TEXT NOT NULL,               -- photo, crop, embedding
    box_x0 REAL NOT NULL,               -- pixels of the upright photo
    box_y0 REAL NOT NULL,
    box_x1 REAL NOT NULL,
    box_y1 REAL NOT NULL,
    points BLOB NOT NULL,               -- five (x, y), little-endian fp32
    score REAL NOT NULL,
    quality TEXT NOT NULL,              -- JSON
    photo_width_px INTEGER NOT NULL,
    photo_height_px INTEGER NOT NULL,
    photo_sha256 BLOB,                  -- of the photo as sent, for finding the same one again; null: there was none
    -- Deferred: an erasure removes the photo first, while it still knows whose it is.
    photo_id INTEGER REFERENCES photos (id) DEFERRABLE INITIALLY DEFERRED,
    created_ms INTEGER NOT NULL
, set_aside_by INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE findings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    subject_id INTEGER NOT NULL REFERENCES subjects (id) ON DELETE CASCADE, -- whose it was when it was judged
    degrees REAL NOT NULL,              -- to the middle of the subject's other faces
    likely_id INTEGER REFERENCES subjects (id) ON DELETE SET NULL, -- whom it looks like, null: nobody
    likely_degrees REAL NOT NULL, subcenter INTEGER NOT NULL DEFAULT 0,
    UNIQUE (job_id, face_id)
) STRICT;

CREATE TABLE generated (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES generations (job_id) ON DELETE CASCADE,
    number INTEGER NOT NULL,            -- from 1
    cosine REAL NOT NULL,               -- of the picture's embedding and what was asked for, under the same model
    crc32c INTEGER NOT NULL,            -- of png
    png BLOB NOT NULL,
    UNIQUE (job_id, number)
) STRICT;

CREATE TABLE generations (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    subject_id INTEGER REFERENCES subjects (id) ON DELETE CASCADE, -- whose; null: a given embedding
    embedding BLOB                      -- given, little-endian fp32; null: the subject's, or the job has ended
) STRICT;

CREATE TABLE import_also (
    item_id INTEGER NOT NULL REFERENCES import_items (id) ON DELETE CASCADE,
    other_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    cosine REAL,                        -- null: the collection's model had no embedding of that face
    PRIMARY KEY (item_id, other_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE import_items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,            -- of the entry of the archive, or of the line, from 1
    name TEXT NOT NULL,                 -- path in the archive, '' for a line
    outcome TEXT NOT NULL,              -- enrolled, no_face, several_faces, low_quality, duplicate …
    sentence TEXT NOT NULL,
    face_id INTEGER REFERENCES faces (id) ON DELETE SET NULL, -- the first of the photo's
    UNIQUE (job_id, number)
) STRICT;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,                -- queued, running, succeeded, failed, cancelled
    collection_id INTEGER REFERENCES collections (id) ON DELETE SET NULL,
    arguments TEXT NOT NULL,            -- JSON
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    unit TEXT NOT NULL DEFAULT '',
    result TEXT,                        -- JSON
    error TEXT,
    sentence TEXT,
    checkpoint TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL DEFAULT 0,
    finished_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE merged_faces (
    merge_id INTEGER NOT NULL REFERENCES merges (id) ON DELETE CASCADE,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    PRIMARY KEY (merge_id, face_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE merges (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL REFERENCES subjects (id) ON DELETE CASCADE, -- who has the faces at present
    into_uuid TEXT NOT NULL,            -- who got them; merged away itself if it is not the owner's
    from_uuid TEXT NOT NULL,
    from_name TEXT NOT NULL,
    from_external_id TEXT,
    from_metadata TEXT NOT NULL,
    from_created_ms INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE models (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version TEXT NOT NULL UNIQUE,       -- SHA-256 over ONNX bytes, preprocessing, flip and alignment version
    onnx_sha256 TEXT NOT NULL,
    role TEXT NOT NULL,                 -- recognizer, detector
    state TEXT NOT NULL,                -- ready, candidate, rejected
    name TEXT NOT NULL,
    file TEXT NOT NULL,                 -- in the data directory's folder of models
    dim INTEGER NOT NULL,               -- floats of an embedding, 0 for a detector
    side_px INTEGER NOT NULL,           -- of the input crop, 0 for a detector
    flip INTEGER NOT NULL,
    align_version INTEGER NOT NULL,
    preprocess TEXT NOT NULL,           -- JSON
    calibration TEXT,                   -- JSON; not part of the version
    source TEXT,
    licence TEXT,
    parent_id INTEGER REFERENCES models (id),
    report TEXT,                        -- JSON, of the training that made it
    created_ms INTEGER NOT NULL
, calibrated_by INTEGER NOT NULL DEFAULT 0, former_calibration TEXT) STRICT;

CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    crc32c INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE replay_faces (
    replay_id INTEGER NOT NULL REFERENCES replays (id) ON DELETE CASCADE,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    PRIMARY KEY (replay_id, face_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE replays (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    actor TEXT NOT NULL,                -- id of the API key that asked
    key_hash BLOB NOT NULL,             -- SHA-256 of the Idempotency-Key
    route TEXT NOT NULL,                -- POST /v1/enroll
    request_hash BLOB,                  -- of the Idempotency-Key's text and all that was asked; null: erased
    status INTEGER NOT NULL,
    location TEXT NOT NULL,             -- the header; '': none
    answer BLOB,                        -- the body; null: erased with somebody whom it told of
    subject_id INTEGER REFERENCES subjects (id) ON DELETE SET NULL, -- whom it tells of; null: nobody, or by faces
    at_ms INTEGER NOT NULL,
    UNIQUE (actor, key_hash)
) STRICT;

CREATE TABLE subjects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    external_id TEXT,
    metadata TEXT NOT NULL,             -- JSON
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    UNIQUE (collection_id, name)
) STRICT;

CREATE INDEX api_keys_by_collection ON api_keys (collection_id) WHERE collection_id IS NOT NULL;

CREATE INDEX api_keys_by_hash_front ON api_keys (hash_front);

CREATE INDEX collection_models_by_collection ON collection_models (collection_id);

CREATE INDEX collection_models_by_model ON collection_models (model_id);

CREATE INDEX collections_by_model ON collections (model_id);

CREATE INDEX embeddings_by_model ON embeddings (model_id);

CREATE INDEX faces_by_collection ON faces (collection_id);

CREATE INDEX faces_by_photo ON faces (photo_id) WHERE photo_id IS NOT NULL;

CREATE INDEX faces_by_photo_sha256 ON faces (photo_sha256) WHERE photo_sha256 IS NOT NULL;

CREATE INDEX faces_by_set_aside ON faces (set_aside_by) WHERE set_aside_by <> 0;

CREATE INDEX faces_by_subject ON faces (subject_id);

CREATE INDEX findings_by_face ON findings (face_id);

CREATE INDEX findings_by_likely ON findings (likely_id) WHERE likely_id IS NOT NULL;

CREATE INDEX findings_by_subject ON findings (subject_id);

CREATE INDEX generations_by_subject ON generations (subject_id) WHERE subject_id IS NOT NULL;

CREATE INDEX import_also_by_other ON import_also (other_id);

CREATE INDEX import_items_by_face ON import_items (face_id) WHERE face_id IS NOT NULL;

CREATE INDEX jobs_by_collection ON jobs (collection_id) WHERE collection_id IS NOT NULL;

CREATE INDEX jobs_by_state ON jobs (state);

CREATE INDEX merged_faces_by_face ON merged_faces (face_id);

CREATE INDEX merges_by_owner ON merges (owner_id);

CREATE INDEX replay_faces_by_face ON replay_faces (face_id);

CREATE INDEX replays_by_at ON replays (at_ms);

CREATE INDEX replays_by_subject ON replays (subject_id) WHERE subject_id IS NOT NULL;

CREATE INDEX subjects_by_collection ON subjects (collection_id);

CREATE INDEX subjects_by_external_id ON subjects (collection_id, external_id) WHERE external_id IS NOT NULL;

