// peer_onnxruntime.js FILE.onnx - ONNX Runtime's Node package on a policy of one thread: the protocol
// of peer.h. Inputs are constants; outputs are not fed back. The package is found as Node finds
// packages, or in $NODE_PATH.
'use strict';

const readline = require('readline');

async function main() {
    let ort;
    try {
        ort = require('onnxruntime-node');
    } catch {
        console.log('missing: npm install onnxruntime-node, and NODE_PATH=.../node_modules');
        return;
    }
    const session = await ort.InferenceSession.create(process.argv[2], {
        intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential',
    });
    const feeds = {};
    for (const input of session.inputMetadata) {
        const shape = input.shape.map((d) => (typeof d === 'number' && d > 0 ? d : 1));
        const count = shape.reduce((a, b) => a * b, 1);
        feeds[input.name] = new ort.Tensor('float32', new Float32Array(count).fill(0.1), shape);
    }
    const run = async (n) => {
        for (let i = 0; i < n; i++) await session.run(feeds);
    };
    await run(1000);
    console.log(`ONNX Runtime ${require('onnxruntime-node/package.json').version}`);
    for await (const line of readline.createInterface({ input: process.stdin })) {
        await run(2); // the others have filled the caches
        const start = process.hrtime.bigint();
        await run(Number(line));
        console.log(String(process.hrtime.bigint() - start));
    }
}

main().catch((e) => { console.log(`failed: ${e.message.split('\n')[0]}`); process.exit(1); });
