import type { Descriptor } from '../image/descriptor.ts';
import type { OnProgress } from './contract.ts';

const REPORT_EVERY_MS = 100;

/** A reporter of bytes read of one blob, ten times a second at most. */
export function meterOf(descriptor: Descriptor, onProgress: OnProgress | undefined): (bytes: number) => void {
  if (!onProgress) return () => {};
  const total = descriptor.size >= 0 ? { totalBytes: descriptor.size } : {};
  let last = 0;
  return (bytes) => {
    const now = performance.now();
    if (now - last < REPORT_EVERY_MS) return;
    last = now;
    onProgress({ type: 'advanced', descriptor, bytes, ...total });
  };
}
