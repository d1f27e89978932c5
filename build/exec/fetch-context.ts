import type { BuildSurroundings } from '../container/contract.ts';
import { BuildError } from '../error.ts';

export async function fetchContext(
  url: string,
  into: string,
  surroundings: BuildSurroundings,
): Promise<string> {
  throw new BuildError('bad-context', `${url}: ${into} ${surroundings.workingDirectory}`);
}
