/*
 * train_job.h: the training of one job of the daemon, in a process of its own: "arcfaced train --job FOLDER".
 *
 * The folder holds plan.json, the frozen crops, the directions of people who are enrolled beside them (server/gallery/freeze.h) and, in
 * guard/, the crops of a guard collection.  What comes out are candidate.onnx with its manifest, report.json and dropped.json (rows of the
 * faces that were judged, and of those that each rule of purifying would drop), and found.json (server/jobs/training_findings.h).
 * Checkpoints lie in the folder too, so the same call goes on after it was cut off anywhere.  The process speaks in JSON lines on standard
 * output:
 *   {"kind": "phase", "phase": text}
 *   {"kind": "step", "phase", "step", "steps" (of the whole run), "loss", "rate", "eta_s"}
 *   {"kind": "failed", "code": err_word, "text": sentence}, exit status 1
 *   {"kind": "done"}, exit status 0
 * SIGTERM asks it to stop at the next step, crop or evaluation (code "cancelled"); it also stops when its parent dies.  It lowers its own
 * priority and limits its own memory.
 *
 *   plan.json: {"model": file (its manifest lies beside it), "version", "subcenters" (0: by the photos), "loss", "margin", "scale" (0: the
 *   loss's own), "rate", "distill", "kl" (weights), "epochs", "freeze" (share of the convolutions), "rule" ("plain"; absent or
 *   another: refined), "purify_deg", "holdout" (share), "gate"
 *   (points of TAR that may be lost), "guard" (absent: none), "seed", "threads", "memory_bytes" (0: any)}
 *
 * The order: people are held out, and others are asked how far to follow (core/train/parts.h); the course (core/train/course.h). Both
 * models then embed every crop as the daemon would, and are measured on what was held out and on the guard, without the photos that both
 * models would drop there: a wrong name is no error of either.
 * The gate (core/train/gate.h) judges by the change in TAR at FMR 1e-3, or at the lowest greater rate that the pairs support, and the 95 %
 * interval of it.
 */
#ifndef SERVER_TRAIN_JOB_H
#define SERVER_TRAIN_JOB_H

/* Returns the exit status. */
int train_job(const char *folder);

#endif
