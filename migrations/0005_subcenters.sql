-- Which sub-center of its subject a face was found in.
ALTER TABLE findings ADD COLUMN subcenter INTEGER NOT NULL DEFAULT 0;
