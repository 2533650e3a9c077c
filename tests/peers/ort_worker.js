// ort_worker.js MODEL BATCH THREADS SIDE LOW HIGH [DUMP]: ONNX Runtime behind the protocol of worker.c.
'use strict';
const fs = require('fs');
const ort = require('onnxruntime-node');

const [, , model, batch, threads, side, low, high, dump] = process.argv;
const shape = [+batch, 3, +side, +side];

// The same numbers as worker.c's.
function fill(count) {
  const a = new Float32Array(count);
  const scale = Math.fround((+high - +low) / 65536);
  let seed = 12345;
  for (let i = 0; i < count; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    a[i] = Math.fround(Math.fround((seed >>> 8) & 0xffff) * scale) + +low;
  }
  return a;
}

(async () => {
  const started = process.hrtime.bigint();
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: +threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all',
  });
  const load = Number(process.hrtime.bigint() - started) / 1e6;
  const input = fill(shape.reduce((a, b) => a * b));
  const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', input, shape) };
  const first = await session.run(feeds);
  if (dump) {
    session.outputNames.forEach((name, i) => {
      const t = first[name];
      fs.writeFileSync(`${dump}.${i}`, Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength));
    });
  }
  console.log(JSON.stringify({ ready: 1, load, outputs: session.outputNames.map((n) => ({ name: n, type: first[n].type, shape: first[n].dims })) }));
  const lines = require('readline').createInterface({ input: process.stdin });
  for await (const line of lines) {
    const n = +line;
    if (!n) break;
    const wall = [], cpu = [];
    for (let i = 0; i < n; i++) {
      const c = process.cpuUsage(), t = process.hrtime.bigint();
      await session.run(feeds);
      const d = process.hrtime.bigint() - t, e = process.cpuUsage(c);
      wall.push(Number(d) / 1e6);
      cpu.push((e.user + e.system) / 1e3);
    }
    console.log(JSON.stringify({ wall, cpu }));
  }
  process.exit(0);
})();
