import { TRANSPORTS } from '../../../transport/contract.ts';

/** True for `transport:rest`; `docker:tag` without slashes is an image called docker. */
export function namesTransport(text: string): boolean {
  const transport = /^([a-z-]+):/.exec(text)?.[1];
  if (transport === undefined || !(TRANSPORTS as readonly string[]).includes(transport)) return false;
  return transport !== 'docker' || text.startsWith('docker://');
}
