import type { Digest } from '../../image/digest.ts';
import { manifestDigest, parseManifest } from '../../image/manifest.ts';
import type { TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { discardBody } from './read-body.ts';
import type { DockerReference } from './reference.ts';
import { removeFromFallbackTag } from './referrers.ts';
import { registryError } from './registry-error.ts';
import { openRepository, type Repository } from './repository.ts';

/**
 * Deletes the manifest that a reference names, with every tag that points to it, as Skopeo does.
 * @throws TransportError `not-found`, `unsupported` where the registry forbids deletes, `digest-mismatch`
 */
export async function deleteRegistryImage(
  reference: DockerReference,
  context: TransportContext,
): Promise<void> {
  const repository = await openRepository(reference.named, context, '*');
  const { digest: wanted } = reference.named;
  const { bytes } = await readForDelete(repository, reference, wanted);
  const digest = wanted ?? manifestDigest(bytes);
  await deleteManifest(repository, digest, reference);
  await removeFromFallbackTag(repository, digest, parseManifest(bytes));
  const { deleteSignatures } = await import('./signatures.ts');
  await deleteSignatures(reference, digest, context);
}

async function readForDelete(repository: Repository, reference: DockerReference, wanted: Digest | undefined) {
  try {
    return await repository.manifest(reference.selector, wanted);
  } catch (error) {
    if (!(error instanceof TransportError) || error.code !== 'not-found') throw error;
    throw new TransportError(
      'not-found',
      `Unable to delete ${reference.policyIdentity}. Image may not exist or is not stored with a v2 Schema in a v2 registry`,
      { cause: error, facts: error.facts, exitCode: 1 },
    );
  }
}

async function deleteManifest(
  repository: Repository,
  digest: Digest,
  reference: DockerReference,
): Promise<void> {
  const response = await repository.send({ method: 'DELETE', target: `manifests/${digest}` });
  if (response.status === 202 || response.status === 200) return discardBody(response);
  const error = await registryError(response, `Failed to delete ${reference.policyIdentity}`);
  if (response.status !== 405) throw error;
  throw new TransportError('unsupported', error.message, {
    cause: error,
    facts: error.facts,
    hint: 'the registry does not allow deletes; docker-registry needs REGISTRY_STORAGE_DELETE_ENABLED=true',
  });
}
