PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA application_id = 1095910214;
PRAGMA user_version = 1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('database_id','1a670fd6beb04b89f257f0fa931ccd5c');
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
) STRICT;
INSERT INTO models VALUES(1,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','recognizer','ready','mobile.onnx','mobile.onnx',16,112,0,1,'{"color":"rgb"}',NULL,NULL,NULL,NULL,NULL,1795473644299);
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    model_id INTEGER NOT NULL REFERENCES models (id),
    keep TEXT NOT NULL CHECK (keep IN ('none', 'crop', 'photo')),
    settings TEXT NOT NULL,             -- JSON: thresholds, retention
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
INSERT INTO collections VALUES(1,'default',1,'crop','{}',1795473644300,1795473644300);
CREATE TABLE collection_models (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    model_id INTEGER NOT NULL REFERENCES models (id),
    since_ms INTEGER NOT NULL
) STRICT;
INSERT INTO collection_models VALUES(1,1,1,1795473644300);
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
INSERT INTO subjects VALUES(1,'f65cdf98-f998-4a7e-84c1-35339b18fc85',1,'Ada Lovelace','E-1','{"team":"engine"}',1795473644302,1795473644307);
INSERT INTO subjects VALUES(2,'c3edf7a3-f0f1-4f0b-93dc-638e70b4a7a8',1,'李小龍',NULL,'{}',1795473644302,1795473644302);
CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    crc32c INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
INSERT INTO photos VALUES(1,1901221485,X'612070686f746f00');
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
) STRICT;
INSERT INTO faces VALUES(1,'6718c1b6-bfe4-4fbb-9ffe-bf05ea78b106',1,1,'photo',1.0,2.0,3.5,4.0,X'0000803f0000004000004040000080400000a0400000c0400000e0400000004100001041000020c1',0.75,'{"score":1}',640,480,X'0101010101010101010101010101010101010101010101010101010101010101',NULL,1795473644302);
INSERT INTO faces VALUES(2,'99a64a00-3500-493d-9276-1c5805032132',1,2,'photo',1.0,2.0,3.5,4.0,X'0000803f0000004000004040000080400000a0400000c0400000e0400000004100001041000020c1',0.75,'{"score":1}',640,480,X'0202020202020202020202020202020202020202020202020202020202020202',NULL,1795473644302);
INSERT INTO faces VALUES(4,'752e4ffe-7dc8-4339-83ec-4ef0f5577553',1,1,'photo',0.0,0.0,0.0,0.0,X'00000000000000000000000000000000000000000000000000000000000000000000000000000000',0.0,'{}',1,1,NULL,1,1795473644307);
CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    model_id INTEGER NOT NULL REFERENCES models (id),
    norm REAL NOT NULL,                 -- before normalising, 0: unknown
    crc32c INTEGER NOT NULL,
    vector BLOB NOT NULL,               -- little-endian fp32, unit length
    UNIQUE (face_id, model_id)
) STRICT;
INSERT INTO embeddings VALUES(1,1,1,12.5,3874133612,X'930708bf2fbfbfbecbd2dcbd5e55363e53aa02beb6d3983c5a538a3e6685ef3d8af4073ed9adefbe9ca1b7be845e653e4caf4abd316d2b3db027643d72e9b53d');
INSERT INTO embeddings VALUES(2,2,1,12.5,399716285,X'9b18da3db290843ea0a7d1bdb91379bdd23ac0bd390eb3bee82a45bede08b3be7ac2f0be802b1d3df99983beafd76b3c770ce43e74093b3ee2cb1a3e7dd28a3e');
INSERT INTO embeddings VALUES(3,4,1,2.0,2827735213,X'5c9acdbd88c0f1bd79a06f3e108619be70f21abf6dc5443d1bae273d2433423ebb7b46bec68f97bec2b2a23e8380ca3ef352e33d3d0984be363b1ebefe2cad3d');
CREATE TABLE crops (
    face_id INTEGER PRIMARY KEY REFERENCES faces (id) ON DELETE CASCADE,
    side_px INTEGER NOT NULL,
    crc32c INTEGER NOT NULL,
    webp BLOB NOT NULL                  -- lossless
) STRICT;
INSERT INTO crops VALUES(1,112,3802939190,X'63726f702031206f6620736f6d65626f6479');
INSERT INTO crops VALUES(2,112,3017439129,X'63726f702032206f6620736f6d65626f6479');
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
INSERT INTO jobs VALUES(1,'maintenance','queued',NULL,'{}',0,0,'',NULL,NULL,NULL,NULL,0,0,1795473644308,0,0);
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
INSERT INTO api_keys VALUES(1,'zuhk8y0skp32',2362842131609573567,X'20ca80665aea58bfe9c1186d0f2cf0a0f8ad061c9c61818311e8cbb0afb028bf','bootstrap',31,NULL,1795473644308,0,0,0);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,                -- key id, or "daemon"
    action TEXT NOT NULL,
    objects TEXT NOT NULL,              -- JSON
    hash BLOB NOT NULL                  -- SHA-256 over the previous hash and this row
) STRICT;
INSERT INTO audit VALUES(1,1795473644299,'daemon','model.add','{"model":1,"version":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}',X'9aa0f8197ae22ae3a457dc0a1823e6c8bc870aee10dd27f10d382eef23708dd0');
INSERT INTO audit VALUES(2,1795473644300,'key1','collection.add','{"collection":1,"model":1}',X'b2d848a12104c9e67193b985c5e70259072adc4a8591b14ad153fb59aecb6273');
INSERT INTO audit VALUES(3,1795473644302,'key1','face.enroll','{"collection":1,"model":1,"subject":"f65cdf98-f998-4a7e-84c1-35339b18fc85","faces":["6718c1b6-bfe4-4fbb-9ffe-bf05ea78b106"]}',X'234041a6c5015b298da6dc74a77c771fe14f2e0aabaa6d8e0d773ef0af4a0284');
INSERT INTO audit VALUES(4,1795473644303,'key1','face.enroll','{"collection":1,"model":1,"subject":"c3edf7a3-f0f1-4f0b-93dc-638e70b4a7a8","faces":["99a64a00-3500-493d-9276-1c5805032132"]}',X'5a4bff9645f58f8aeb3d9fb5b2f8a7ce7fbfdca02c3924e3692beeef5aa27715');
INSERT INTO audit VALUES(5,1795473644303,'key1','face.enroll','{"collection":1,"model":1,"subject":"b7d5ae8e-050b-4755-9236-79cc4f1b07dd","faces":["3263ab19-cff9-4262-86f5-d4abc05d0968"]}',X'b35738b4e1f5f4dd7ed1219e36c899cd782ba76a44aac78550f75d017a93e604');
INSERT INTO audit VALUES(6,1795473644304,'key1','subject.delete','{"collection":1,"subject":"b7d5ae8e-050b-4755-9236-79cc4f1b07dd","subjects":1,"faces":1,"embeddings":1,"crops":1,"photos":0}',X'598c10606d5e46312ee48ad53df9bf385e5a921fddb6b01e83ceaaf6399b89c5');
INSERT INTO audit VALUES(7,1795473644307,'key1','face.enroll','{"collection":1,"model":1,"subject":"f65cdf98-f998-4a7e-84c1-35339b18fc85","faces":["752e4ffe-7dc8-4339-83ec-4ef0f5577553"]}',X'34452381ee69bea027d88604244d75e04144caf619fae7c26d688f507f2121ef');
INSERT INTO audit VALUES(8,1795473644308,'daemon','key.add','{"key":"zuhk8y0skp32"}',X'0f0403074f0c392ac0e142237a88ba3de4f8cc379d35d5cc68b86fc64449a881');
INSERT INTO audit VALUES(9,1795473644308,'key1','job.add','{"job":1}',X'6330c2db198c11ce6b65df601219c0066c5d403a4a3f6cadabadf4e7e65bc7a9');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('models',1);
INSERT INTO sqlite_sequence VALUES('audit',9);
INSERT INTO sqlite_sequence VALUES('collections',1);
INSERT INTO sqlite_sequence VALUES('collection_models',1);
INSERT INTO sqlite_sequence VALUES('subjects',3);
INSERT INTO sqlite_sequence VALUES('faces',4);
INSERT INTO sqlite_sequence VALUES('photos',1);
INSERT INTO sqlite_sequence VALUES('api_keys',1);
INSERT INTO sqlite_sequence VALUES('jobs',1);
CREATE INDEX collections_by_model ON collections (model_id);
CREATE INDEX collection_models_by_collection ON collection_models (collection_id);
CREATE INDEX collection_models_by_model ON collection_models (model_id);
CREATE INDEX subjects_by_collection ON subjects (collection_id);
CREATE INDEX subjects_by_external_id ON subjects (collection_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX faces_by_collection ON faces (collection_id);
CREATE INDEX faces_by_subject ON faces (subject_id);
CREATE INDEX faces_by_photo_sha256 ON faces (photo_sha256) WHERE photo_sha256 IS NOT NULL;
CREATE INDEX faces_by_photo ON faces (photo_id) WHERE photo_id IS NOT NULL;
CREATE INDEX embeddings_by_model ON embeddings (model_id);
CREATE INDEX jobs_by_state ON jobs (state);
CREATE INDEX jobs_by_collection ON jobs (collection_id) WHERE collection_id IS NOT NULL;
CREATE INDEX api_keys_by_hash_front ON api_keys (hash_front);
CREATE INDEX api_keys_by_collection ON api_keys (collection_id) WHERE collection_id IS NOT NULL;
COMMIT;
