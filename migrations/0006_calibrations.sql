-- The evaluate job whose thresholds a model uses (0: none's), and what it used before, so that they can be taken back.
ALTER TABLE models ADD COLUMN calibrated_by INTEGER NOT NULL DEFAULT 0;
ALTER TABLE models ADD COLUMN former_calibration TEXT;
