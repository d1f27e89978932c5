import { isShortName } from '../../config/short-names.ts';
import { type Digest, digestOf, encodedOf } from '../../image/digest.ts';
import { parseManifest } from '../../image/manifest.ts';
import { choosePlatform } from '../../image/platform.ts';
import { formatReference, parseReference, withDefaultTag } from '../../image/reference.ts';
import type { ImageReference, TransportContext } from '../../transport/contract.ts';

/**
 * What an image from elsewhere is called in local storage, as libimage has it: its own name; in an archive the one it
 * was saved with; without any `@` and its id.
 */
export async function storageName(source: ImageReference, context: TransportContext): Promise<string> {
  if (source.named) return formatReference(withDefaultTag(source.named));
  const { within } = source;
  if (source.transport === 'oci') {
    const name = within.slice(within.indexOf(':') + 1);
    return within.includes(':') && name ? fullName(name) : imageId(source, context);
  }
  if (source.transport === 'docker-archive' || source.transport === 'oci-archive') {
    const { listTags } = await import('../../transport/tags.ts');
    const [name] = await listTags(source, context);
    if (!name || name.startsWith('@')) return imageId(source, context);
    return source.transport === 'docker-archive' ? fullName(name) : localName(name);
  }
  return imageId(source, context);
}

const fullName = (name: string) => formatReference(withDefaultTag(parseReference(name)));
const localName = (name: string) => fullName(isShortName(name) ? `localhost/${name}` : name);

async function imageId(reference: ImageReference, context: TransportContext): Promise<string> {
  await using source = await reference.openSource(context);
  let document = await source.getManifest();
  let manifest = parseManifest(document.bytes, document.mediaType);
  if (manifest.kind === 'index') {
    const chosen = choosePlatform(manifest.manifests, context.platform);
    document = await source.getManifest(chosen?.digest);
    manifest = parseManifest(document.bytes, document.mediaType);
  }
  const digest: Digest = manifest.kind === 'image' ? manifest.config.digest : digestOf(document.bytes);
  return `@${encodedOf(digest)}`;
}
