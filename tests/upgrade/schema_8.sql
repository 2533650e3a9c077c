PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA application_id = 1095910214;
PRAGMA user_version = 8;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('database_id','2163f52ac74d634c777b2d23afbcef6a');
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
INSERT INTO models VALUES(1,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','recognizer','ready','mobile.onnx','mobile.onnx',16,112,0,1,'{"color":"rgb"}',NULL,NULL,NULL,NULL,NULL,1795934531134,0,NULL);
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    model_id INTEGER NOT NULL REFERENCES models (id),
    keep TEXT NOT NULL CHECK (keep IN ('none', 'crop', 'photo')),
    settings TEXT NOT NULL,             -- JSON: thresholds, retention
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
INSERT INTO collections VALUES(1,'default',1,'crop','{}',1795934531142,1795934531142);
CREATE TABLE collection_models (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    model_id INTEGER NOT NULL REFERENCES models (id),
    since_ms INTEGER NOT NULL
, settings TEXT) STRICT;
INSERT INTO collection_models VALUES(1,1,1,1795934531142,NULL);
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
INSERT INTO subjects VALUES(1,'90a648fe-bdb3-4c92-ba6f-7ce7c8e9a1ee',1,'Ada Lovelace','E-1','{"team":"engine"}',1795934531150,1795934531214);
INSERT INTO subjects VALUES(2,'b86ca942-9709-42f1-8658-1fd73fe8ff53',1,'李小龍',NULL,'{}',1795934531158,1795934531158);
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
INSERT INTO faces VALUES(1,'31e3df69-178b-4a74-9086-6ee95a453d2e',1,1,'photo',1.0,2.0,3.5,4.0,X'0000803f0000004000004040000080400000a0400000c0400000e0400000004100001041000020c1',0.75,'{"score":1}',640,480,X'0101010101010101010101010101010101010101010101010101010101010101',NULL,1795934531150,0);
INSERT INTO faces VALUES(2,'17703cf1-4ffc-4335-b11f-1a3b5471af9c',1,2,'photo',1.0,2.0,3.5,4.0,X'0000803f0000004000004040000080400000a0400000c0400000e0400000004100001041000020c1',0.75,'{"score":1}',640,480,X'0202020202020202020202020202020202020202020202020202020202020202',NULL,1795934531158,0);
INSERT INTO faces VALUES(4,'fcec4d94-e37a-489c-a2d6-75e2a5374d9c',1,1,'photo',0.0,0.0,0.0,0.0,X'00000000000000000000000000000000000000000000000000000000000000000000000000000000',0.0,'{}',1,1,NULL,1,1795934531214,0);
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
INSERT INTO jobs VALUES(1,'maintenance','queued',NULL,'{}',0,0,'',NULL,NULL,NULL,NULL,0,0,1795934531243,0,0);
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
INSERT INTO api_keys VALUES(1,'33sgqqu8f8zx',2362842131609573567,X'20ca80665aea58bfe9c1186d0f2cf0a0f8ad061c9c61818311e8cbb0afb028bf','bootstrap',31,NULL,1795934531236,0,0,0);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,                -- key id, or "daemon"
    action TEXT NOT NULL,
    objects TEXT NOT NULL,              -- JSON
    hash BLOB NOT NULL                  -- SHA-256 over the previous hash and this row
) STRICT;
INSERT INTO audit VALUES(1,1795934531134,'daemon','model.add','{"model":1,"version":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}',X'242ee5d1bf8f3205375d0efe7ed9449d0ae0bd5dce919b6981ae99e778d0d0dd');
INSERT INTO audit VALUES(2,1795934531142,'key1','collection.add','{"collection":1,"model":1}',X'63e0b2d8c12185a0e60df6e22076e5f43079715484969108b5f6a4c98cedaf54');
INSERT INTO audit VALUES(3,1795934531150,'key1','face.enroll','{"collection":1,"model":1,"subject":"90a648fe-bdb3-4c92-ba6f-7ce7c8e9a1ee","faces":["31e3df69-178b-4a74-9086-6ee95a453d2e"]}',X'1b843b7f05b73a388ca922501e8e485867dc016a9bb792736b604e1041f322f7');
INSERT INTO audit VALUES(4,1795934531158,'key1','face.enroll','{"collection":1,"model":1,"subject":"b86ca942-9709-42f1-8658-1fd73fe8ff53","faces":["17703cf1-4ffc-4335-b11f-1a3b5471af9c"]}',X'65b64b2332f20695238583e2a9dc0028f22fdc2158f0c1d0abc14fdec61274ea');
INSERT INTO audit VALUES(5,1795934531166,'key1','face.enroll','{"collection":1,"model":1,"subject":"70e5a693-f15e-4520-8c96-9a2746c2c3f8","faces":["91b82844-4185-4271-b5fb-c745d57a3af8"]}',X'd57fe70a7ec37c80ac7bc2a0e745d43e8cd503497438719fe8a328a1b01d7d03');
INSERT INTO audit VALUES(6,1795934531171,'key1','subject.delete','{"collection":1,"subject":"70e5a693-f15e-4520-8c96-9a2746c2c3f8","subjects":1,"faces":1,"embeddings":1,"crops":1,"photos":0,"photos_kept":0}',X'45a91dc1dfca3151e5f2c7802ee7c346145d25bda75671898d13821cc8501309');
INSERT INTO audit VALUES(7,1795934531215,'key1','face.enroll','{"collection":1,"model":1,"subject":"90a648fe-bdb3-4c92-ba6f-7ce7c8e9a1ee","faces":["fcec4d94-e37a-489c-a2d6-75e2a5374d9c"]}',X'2a861c7bf151ac7fcaf89d83e463a9ff342a5a5183d72918c7e029155338617e');
INSERT INTO audit VALUES(8,1795934531236,'daemon','key.add','{"key":"33sgqqu8f8zx"}',X'c8554b5064f842830f208a2cc6de04f17eae5b969c3623fda75acf38ab203c66');
INSERT INTO audit VALUES(9,1795934531244,'key1','job.add','{"job":1}',X'd2beb60bfa411bb2d572183dce2edc31fd6e4836c7093ee3c9756bd35ad3554d');
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
CREATE TABLE merged_faces (
    merge_id INTEGER NOT NULL REFERENCES merges (id) ON DELETE CASCADE,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    PRIMARY KEY (merge_id, face_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE generations (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    subject_id INTEGER REFERENCES subjects (id) ON DELETE CASCADE, -- whose; null: a given embedding
    embedding BLOB                      -- given, little-endian fp32; null: the subject's, or the job has ended
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
CREATE TABLE import_also (
    item_id INTEGER NOT NULL REFERENCES import_items (id) ON DELETE CASCADE,
    other_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    cosine REAL,                        -- null: the collection's model had no embedding of that face
    PRIMARY KEY (item_id, other_id)
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
CREATE TABLE replay_faces (
    replay_id INTEGER NOT NULL REFERENCES replays (id) ON DELETE CASCADE,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    PRIMARY KEY (replay_id, face_id)
) STRICT, WITHOUT ROWID;
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
CREATE INDEX import_items_by_face ON import_items (face_id) WHERE face_id IS NOT NULL;
CREATE INDEX merges_by_owner ON merges (owner_id);
CREATE INDEX merged_faces_by_face ON merged_faces (face_id);
CREATE INDEX generations_by_subject ON generations (subject_id) WHERE subject_id IS NOT NULL;
CREATE TRIGGER generations_forget BEFORE DELETE ON faces BEGIN
    DELETE FROM generations WHERE subject_id = OLD.subject_id;
END;
CREATE TRIGGER generations_end AFTER UPDATE OF state ON jobs WHEN NEW.state NOT IN ('queued', 'running') BEGIN
    UPDATE generations SET embedding = NULL WHERE job_id = NEW.id;
END;
CREATE INDEX import_also_by_other ON import_also (other_id);
CREATE TRIGGER import_items_forget BEFORE DELETE ON faces BEGIN
    DELETE FROM import_also WHERE item_id IN (SELECT id FROM import_items WHERE face_id = OLD.id);
    UPDATE import_items SET name = '', sentence = '', outcome = 'erased', face_id = NULL WHERE face_id = OLD.id;
END;
CREATE INDEX replays_by_at ON replays (at_ms);
CREATE INDEX replays_by_subject ON replays (subject_id) WHERE subject_id IS NOT NULL;
CREATE INDEX replay_faces_by_face ON replay_faces (face_id);
CREATE TRIGGER replays_forget_faces BEFORE DELETE ON faces BEGIN
    UPDATE replays SET request_hash = NULL, location = '', answer = NULL
        WHERE id IN (SELECT replay_id FROM replay_faces WHERE face_id = OLD.id);
END;
CREATE TRIGGER replays_forget_subjects BEFORE DELETE ON subjects BEGIN
    UPDATE replays SET request_hash = NULL, location = '', answer = NULL, subject_id = NULL WHERE subject_id = OLD.id;
END;
COMMIT;
