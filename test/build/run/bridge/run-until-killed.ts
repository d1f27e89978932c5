import type { RunRequest } from '../../../../build/run/contract.ts';
import { runCommand } from '../../../../build/run/run.ts';

/** Carries out the request that its argument describes, which its parent puts an end to. */
await runCommand(JSON.parse(process.argv[2] ?? '') as RunRequest);
