import type { ImageReference } from '../../transport/contract.ts';
import { TRANSPORTS } from '../../transport/contract.ts';
import { parseImageReference } from '../../transport/references.ts';

/** `transport:rest`, or a bare name that means a registry: `localhost:5000/app:1` is `docker://localhost:5000/app:1`. */
export async function parseAnyReference(text: string, workingDirectory: string): Promise<ImageReference> {
  const hasTransport = TRANSPORTS.some((name) => text.startsWith(`${name}:`));
  return await parseImageReference(hasTransport ? text : `docker://${text}`, { workingDirectory });
}
