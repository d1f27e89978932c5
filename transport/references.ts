import { type ImageReference, TRANSPORTS, type TransportName } from './contract.ts';
import { TransportError } from './error.ts';

/** What each transport's reference.ts exports. */
export interface ReferenceModule {
  /** @param within the text behind `transport:`; relative paths count from `workingDirectory`. */
  parse(within: string, options: { readonly workingDirectory: string }): ImageReference;
}

const MODULES: Record<TransportName, () => Promise<ReferenceModule>> = {
  docker: () => import('./docker/reference.ts'),
  oci: () => import('./oci/reference.ts'),
  'oci-archive': () => import('./oci-archive/reference.ts'),
  dir: () => import('./dir/reference.ts'),
  'docker-archive': () => import('./docker-archive/reference.ts'),
  'docker-daemon': () => import('./docker-daemon/reference.ts'),
  'containers-storage': () => import('./containers-storage/reference.ts'),
  tarball: () => import('./tarball/reference.ts'),
  sif: () => import('./sif/reference.ts'),
};

/**
 * Parses `transport:rest` as containers/image's alltransports.
 * @throws TransportError `unknown-transport`, `bad-reference`
 */
export async function parseImageReference(
  text: string,
  options: { readonly workingDirectory: string },
): Promise<ImageReference> {
  const colon = text.indexOf(':');
  const name = colon < 0 ? '' : text.slice(0, colon);
  if (colon < 0)
    throw new TransportError(
      'bad-reference',
      `Invalid image name "${text}", expected colon-separated transport:reference`,
      { hint: 'put the transport before the name, as in docker://alpine or oci:directory:tag' },
    );
  if (!(TRANSPORTS as readonly string[]).includes(name))
    throw new TransportError(
      'unknown-transport',
      `Invalid image name "${text}", unknown transport "${name}"`,
      { hint: `known transports: ${TRANSPORTS.join(', ')}` },
    );
  const module = await MODULES[name as TransportName]();
  return module.parse(text.slice(colon + 1), options);
}

/** `transport:within`, as containers/image prints it. */
export function formatImageReference(reference: Pick<ImageReference, 'transport' | 'within'>): string {
  return `${reference.transport}:${reference.within}`;
}
