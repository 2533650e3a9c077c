PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA application_id = 1095910214;
PRAGMA user_version = 2;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('database_id','36fd7c511ff7c15a0085d83bfa21a3c9');
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
INSERT INTO models VALUES(1,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','recognizer','ready','mobile.onnx','mobile.onnx',16,112,0,1,'{"color":"rgb"}',NULL,NULL,NULL,NULL,NULL,1795475593944);
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    model_id INTEGER NOT NULL REFERENCES models (id),
    keep TEXT NOT NULL CHECK (keep IN ('none', 'crop', 'photo')),
    settings TEXT NOT NULL,             -- JSON: thresholds, retention
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
INSERT INTO collections VALUES(1,'default',1,'crop','{}',1795475593953,1795475593953);
CREATE TABLE collection_models (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    model_id INTEGER NOT NULL REFERENCES models (id),
    since_ms INTEGER NOT NULL
, settings TEXT) STRICT;
INSERT INTO collection_models VALUES(1,1,1,1795475593953,NULL);
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
INSERT INTO subjects VALUES(1,'09c44f58-6cbd-4a3c-a979-2c9197d57329',1,'Ada Lovelace','E-1','{"team":"engine"}',1795475593956,1795475594008);
INSERT INTO subjects VALUES(2,'d78e55b7-8f35-4461-bc54-9623354b7ac6',1,'李小龍',NULL,'{}',1795475593964,1795475593964);
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
, set_aside_by INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO faces VALUES(1,'cb84b8da-7f56-4924-903f-378600e8ef93',1,1,'photo',1.0,2.0,3.5,4.0,X'0000803f0000004000004040000080400000a0400000c0400000e0400000004100001041000020c1',0.75,'{"score":1}',640,480,X'0101010101010101010101010101010101010101010101010101010101010101',NULL,1795475593956,0);
INSERT INTO faces VALUES(2,'5b82ae0c-41ed-4536-ace8-d27e6f84abf9',1,2,'photo',1.0,2.0,3.5,4.0,X'0000803f0000004000004040000080400000a0400000c0400000e0400000004100001041000020c1',0.75,'{"score":1}',640,480,X'0202020202020202020202020202020202020202020202020202020202020202',NULL,1795475593964,0);
INSERT INTO faces VALUES(4,'f0b1110d-15ab-495c-99cc-b768cba3164c',1,1,'photo',0.0,0.0,0.0,0.0,X'00000000000000000000000000000000000000000000000000000000000000000000000000000000',0.0,'{}',1,1,NULL,1,1795475594008,0);
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
INSERT INTO jobs VALUES(1,'maintenance','queued',NULL,'{}',0,0,'',NULL,NULL,NULL,NULL,0,0,1795475594024,0,0);
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
INSERT INTO api_keys VALUES(1,'6ad5tsdgr9hw',2362842131609573567,X'20ca80665aea58bfe9c1186d0f2cf0a0f8ad061c9c61818311e8cbb0afb028bf','bootstrap',31,NULL,1795475594021,0,0,0);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,                -- key id, or "daemon"
    action TEXT NOT NULL,
    objects TEXT NOT NULL,              -- JSON
    hash BLOB NOT NULL                  -- SHA-256 over the previous hash and this row
) STRICT;
INSERT INTO audit VALUES(1,1795475593944,'daemon','model.add','{"model":1,"version":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}',X'bb7e8228060032317d05270b8657d8f8fee77a36e08af2e3283662cf0c97177b');
INSERT INTO audit VALUES(2,1795475593953,'key1','collection.add','{"collection":1,"model":1}',X'db0f3ca8205451e279238555b8a6af2b00853486c954b6687adddaddad23b8dd');
INSERT INTO audit VALUES(3,1795475593956,'key1','face.enroll','{"collection":1,"model":1,"subject":"09c44f58-6cbd-4a3c-a979-2c9197d57329","faces":["cb84b8da-7f56-4924-903f-378600e8ef93"]}',X'cdad9ced72cad37ead402b92965679a204a71df982fab668f7aadfb776493ee5');
INSERT INTO audit VALUES(4,1795475593964,'key1','face.enroll','{"collection":1,"model":1,"subject":"d78e55b7-8f35-4461-bc54-9623354b7ac6","faces":["5b82ae0c-41ed-4536-ace8-d27e6f84abf9"]}',X'7a158389595e4b952561395ab5eed9c2f820c26a60c15a64a95a31e5b78d79d2');
INSERT INTO audit VALUES(5,1795475593976,'key1','face.enroll','{"collection":1,"model":1,"subject":"1ff5e504-9d44-4906-aa64-0bd56afa4768","faces":["96d0c654-8a0d-4adc-8e24-847283d76671"]}',X'3d074729b14d7d7adf8f2438cd9209b507fff1a4ab2030fb9dfc2a826bc4087d');
INSERT INTO audit VALUES(6,1795475593980,'key1','subject.delete','{"collection":1,"subject":"1ff5e504-9d44-4906-aa64-0bd56afa4768","subjects":1,"faces":1,"embeddings":1,"crops":1,"photos":0}',X'a562faa938d16fb4deb500b3a5f5302da12c0011e7f8e1cf6e86511549c82518');
INSERT INTO audit VALUES(7,1795475594008,'key1','face.enroll','{"collection":1,"model":1,"subject":"09c44f58-6cbd-4a3c-a979-2c9197d57329","faces":["f0b1110d-15ab-495c-99cc-b768cba3164c"]}',X'9ab11855b5d4d41a327132ee62dc273b202b5283fa9c142bc08f35235cd2e2f4');
INSERT INTO audit VALUES(8,1795475594021,'daemon','key.add','{"key":"6ad5tsdgr9hw"}',X'6b8208503e8edbed7d849a39d0b8254c7e4f9995a4be8a07112d1556651319a5');
INSERT INTO audit VALUES(9,1795475594024,'key1','job.add','{"job":1}',X'03ad7f805e7a54b2d13fa0653784f3e5b32bada7daeb06c3d856a0479b2bc262');
CREATE TABLE findings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    subject_id INTEGER NOT NULL REFERENCES subjects (id) ON DELETE CASCADE, -- whose it was when it was judged
    degrees REAL NOT NULL,              -- to the middle of the subject's other faces
    likely_id INTEGER REFERENCES subjects (id) ON DELETE SET NULL, -- whom it looks like, null: nobody
    likely_degrees REAL NOT NULL,
    UNIQUE (job_id, face_id)
) STRICT;
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
CREATE INDEX faces_by_set_aside ON faces (set_aside_by) WHERE set_aside_by <> 0;
CREATE INDEX findings_by_face ON findings (face_id);
CREATE INDEX findings_by_subject ON findings (subject_id);
CREATE INDEX findings_by_likely ON findings (likely_id) WHERE likely_id IS NOT NULL;
COMMIT;
