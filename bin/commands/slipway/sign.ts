import type { Descriptor } from '../../../image/descriptor.ts';
import { manifestDigest, parseManifest } from '../../../image/manifest.ts';
import { type NamedReference, parseReference } from '../../../image/reference.ts';
import type { SignatureBlob } from '../../../image/signature.ts';
import type { Signer } from '../../../sign/signer.ts';
import type { SigstoreSigner } from '../../../sign/sigstore/signer.ts';
import type { ImageSource, TransportContext } from '../../../transport/contract.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { parseAnyReference } from '../../cli/image-reference.ts';
import { imageSigners, signingChoice, signingFlags } from '../../cli/image-signers.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { REGISTRIES_D_FLAG } from '../../cli/signature-places.ts';
import { transportContext } from '../../cli/transport-context.ts';

/** `slipway sign`. */
export const sign: CommandSpec = {
  name: 'sign',
  summary: 'Sign an image where it is, in several forms at once',
  description:
    'Signs an image that is in a registry without copying it. --sign-by makes a simple signature for Podman and ' +
    'Skopeo; --sign-by-sigstore and --sign-by-sigstore-private-key make a Cosign attachment; --bundle makes a sigstore bundle ' +
    'for Cosign 3 and referrers-only tools with the same key or identity, logged where the parameter file names a log. They can be combined.',
  usage: '[flags] REFERENCE',
  examples: [
    'slipway sign --sign-by 97E41F2EEB70DE9F35B54D77C60105284AAB6A7E docker://registry.example.com/app:1',
    'slipway sign --sign-by-sigstore-private-key app.private --sign-passphrase-file pass --bundle registry.example.com/app:1',
  ],
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    REGISTRIES_D_FLAG,
    ...signingFlags(),
    {
      name: 'sign-identity',
      kind: 'string',
      usage: 'sign for the name `REFERENCE` instead of the image’s own',
    },
    { name: 'bundle', kind: 'bool', usage: 'with a sigstore key or identity, attach a bundle as well' },
    { name: 'all', kind: 'bool', usage: 'sign the images of an index too, not only the index' },
  ],
  run: async (context) => {
    const reference = await parseAnyReference(context.args[0] as string, context.io.workingDirectory);
    const { named } = reference;
    if (reference.transport !== 'docker' || !named)
      throw new UsageError('usage', 'only images in registries can be signed where they are', {
        hint: 'sign others while they are copied: skopeo copy --sign-by …',
      });
    const signers = await requiredSigners(context);
    const identity = context.flags.string('sign-identity')
      ? parseReference(context.flags.string('sign-identity'))
      : named;
    const bundlers = context.flags.bool('bundle') ? bundlersOf(signers) : [];
    for (const signer of signers) await signer.prepare();
    const surroundings = transportContext(context);
    await using source = await reference.openSource(surroundings);
    for (const subject of await subjectsOf(source, context.flags.bool('all')))
      await signOne({ context, surroundings, named, identity, signers, bundlers }, subject);
  },
};

interface Subject {
  readonly bytes: Uint8Array;
  readonly descriptor: Descriptor;
}

interface Job {
  readonly context: CommandContext;
  readonly surroundings: TransportContext;
  readonly named: NamedReference;
  readonly identity: NamedReference;
  readonly signers: readonly Signer[];
  readonly bundlers: readonly SigstoreSigner[];
}

async function requiredSigners(context: CommandContext): Promise<readonly Signer[]> {
  const signers = await imageSigners(context, signingChoice(context.flags));
  if (signers.length > 0) return signers as readonly Signer[];
  throw new UsageError('usage', 'nothing to sign with', {
    hint: 'give --sign-by, --sign-by-sq-fingerprint, --sign-by-sigstore or --sign-by-sigstore-private-key',
  });
}

function bundlersOf(signers: readonly Signer[]): readonly SigstoreSigner[] {
  const found = signers.filter((signer): signer is SigstoreSigner => 'bundle' in signer);
  if (found.length > 0) return found;
  throw new UsageError('usage', '--bundle needs --sign-by-sigstore or --sign-by-sigstore-private-key');
}

async function subjectsOf(source: ImageSource, all: boolean): Promise<Subject[]> {
  const top = await source.getManifest();
  const manifest = parseManifest(top.bytes, top.mediaType);
  const describe = ({ bytes, mediaType }: typeof top): Subject => ({
    bytes,
    descriptor: { mediaType, digest: manifestDigest(bytes), size: bytes.length },
  });
  const subjects = [describe({ ...top, mediaType: manifest.mediaType })];
  if (all && manifest.kind === 'index')
    for (const { digest, mediaType } of manifest.manifests)
      subjects.push(describe({ ...(await source.getManifest(digest)), mediaType }));
  return subjects;
}

async function signOne(job: Job, { bytes, descriptor }: Subject): Promise<void> {
  const { addSignatures, attachBundle } = await import('../../../transport/docker/sign-in-place.ts');
  const { context, surroundings, named } = job;
  // All signatures are made before the first is stored, so that a failing key leaves nothing half signed.
  const signatures: SignatureBlob[] = [];
  for (const signer of job.signers) signatures.push(await signer.sign(bytes, job.identity));
  const bundles = await Promise.all(job.bundlers.map((bundler) => bundler.bundle(bytes)));
  await addSignatures(named, descriptor.digest, signatures, surroundings);
  for (const { kind } of signatures)
    context.print(`${descriptor.digest} ${kind === 'simple' ? 'simple' : 'cosign-tag'}`);
  for (const made of bundles) {
    await attachBundle(named, descriptor, await describeBundle(made), surroundings);
    context.print(`${descriptor.digest} bundle`);
  }
}

async function describeBundle(bytes: Uint8Array) {
  const [{ SIGN_PREDICATE }, { BUNDLE_TYPE }] = await Promise.all([
    import('../../../sign/sigstore/bundle.ts'),
    import('../../../sign/sigstore/bundle-format.ts'),
  ]);
  return {
    bytes,
    mediaType: BUNDLE_TYPE,
    annotations: {
      'dev.sigstore.bundle.content': 'dsse-envelope',
      'dev.sigstore.bundle.predicateType': SIGN_PREDICATE,
      'org.opencontainers.image.created': new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
    },
  };
}
