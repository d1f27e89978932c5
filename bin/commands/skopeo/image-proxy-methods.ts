import { SlipwayError, systemErrorText } from '../../../errors.ts';
import { convertImage, ociConfigBytes } from '../../../image/convert.ts';
import { parseDigest } from '../../../image/digest.ts';
import { goJsonText } from '../../../image/go-json.ts';
import { isJsonObject, type JsonValue, parseJsonObject } from '../../../image/json.ts';
import { manifestDigest } from '../../../image/manifest.ts';
import { serializeManifest } from '../../../image/serialize.ts';
import { verified } from '../../../store/blob/verify.ts';
import type { AdmissionPolicy, ImageSource, TransportContext } from '../../../transport/contract.ts';
import { type OpenedImage, openImage, readConfigBytes, readImageConfig } from '../../../transport/inspect.ts';
import { readManifest } from '../../../transport/read-manifest.ts';
import { parseImageReference } from '../../../transport/references.ts';
import { isNotFound } from './exit-code.ts';
import { OutgoingPipe } from './outgoing-pipe.ts';

/** Of the protocol whose methods are here; clients compare it with what they need. */
const PROTOCOL_VERSION = '0.2.8';
const LIMIT_REQUEST_BYTES = 64 * 1024;
/** What {@link METHODS} give for an image that is not there. */
const NO_IMAGE = 0;

export interface ProxySurroundings {
  readonly workingDirectory: string;
  readonly images: TransportContext;
  readonly openPolicy: () => Promise<AdmissionPolicy>;
}

/** What goes back to the client, and the ends of pipes that go with it. */
export interface ProxyAnswer {
  readonly reply: Readonly<Record<string, unknown>>;
  readonly descriptors: readonly number[];
  /** To be called when the client has its copies of the descriptors, or never will. */
  readonly sent: () => void;
}

interface Result {
  readonly value?: unknown;
  readonly pipe?: OutgoingPipe;
  readonly errors?: OutgoingPipe;
}

interface HeldImage {
  readonly source: ImageSource;
  opened?: OpenedImage;
}

type Method = (proxy: ImageProxy, args: readonly JsonValue[]) => Promise<Result>;

/** The images and pipes of one client. Requests are answered one after the other. */
export class ImageProxy implements AsyncDisposable {
  readonly surroundings: ProxySurroundings;
  readonly pipes = new Map<number, OutgoingPipe>();
  readonly #images = new Map<number, HeldImage>();
  #lastImage = NO_IMAGE;
  initialized = false;

  constructor(surroundings: ProxySurroundings) {
    this.surroundings = surroundings;
  }

  /** The answer to one request, errors included; undefined where the client wants no more. */
  async answer(request: Uint8Array): Promise<ProxyAnswer | undefined> {
    try {
      const { name, args } = readRequest(request);
      if (name === 'Shutdown') return undefined;
      const method = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
      if (!method) throw new Error(`unknown method: ${name}`);
      if (name !== 'Initialize' && name !== 'FinishPipe' && !this.initialized)
        throw new Error('client error: must invoke Initialize');
      return this.#success(await method(this, args));
    } catch (error) {
      return failure(error);
    }
  }

  hold(source: ImageSource): number {
    this.#lastImage += 1;
    this.#images.set(this.#lastImage, { source });
    return this.#lastImage;
  }

  image(value: JsonValue | undefined): HeldImage {
    const id = asNumber(value);
    if (id === NO_IMAGE) throw new Error('invalid imageid value of zero');
    const image = this.#images.get(id);
    if (!image) throw new Error(`no image ${id}`);
    return image;
  }

  async close(value: JsonValue | undefined): Promise<void> {
    const { source } = this.image(value);
    this.#images.delete(Number(value));
    await source[Symbol.asyncDispose]();
  }

  async open(image: HeldImage): Promise<OpenedImage> {
    image.opened ??= await openImage(image.source, this.surroundings.images);
    return image.opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pipe of this.pipes.values()) pipe.close();
    await Promise.allSettled([...this.#images.values()].map(({ source }) => source[Symbol.asyncDispose]()));
  }

  #success({ value = null, pipe, errors }: Result): ProxyAnswer {
    const finishes = pipe !== undefined && errors === undefined;
    if (finishes) this.pipes.set(pipe.id, pipe);
    const ends = [pipe, errors].filter((one) => one !== undefined);
    return {
      reply: { success: true, value, pipeid: finishes ? pipe.id : 0, error_code: '', error: '' },
      descriptors: ends.map((one) => one.readingEnd),
      sent: () => {
        for (const one of ends) one.handedOver();
      },
    };
  }
}

function failure(error: unknown): ProxyAnswer {
  const { code, message } = describe(error);
  return {
    reply: { success: false, value: null, pipeid: 0, error_code: code, error: message },
    descriptors: [],
    sent: () => {},
  };
}

function describe(error: unknown): { readonly code: string; readonly message: string } {
  const message = error instanceof Error ? systemErrorText(error) : String(error);
  if ((error as NodeJS.ErrnoException).code === 'EPIPE') return { code: 'EPIPE', message };
  return { code: error instanceof SlipwayError && error.retryable ? 'retryable' : 'other', message };
}

function readRequest(bytes: Uint8Array): { readonly name: string; readonly args: readonly JsonValue[] } {
  try {
    const { method, args } = parseJsonObject(bytes, { what: 'request', limitBytes: LIMIT_REQUEST_BYTES });
    return { name: typeof method === 'string' ? method : '', args: Array.isArray(args) ? args : [] };
  } catch (cause) {
    throw new Error(`invalid request: ${cause instanceof Error ? cause.message : ''}`, { cause });
  }
}

/** By the names that clients call. */
const METHODS: Readonly<Record<string, Method>> = {
  async Initialize(proxy, args) {
    if (args.length !== 0) throw new Error('invalid request, expecting zero arguments');
    if (proxy.initialized) throw new Error('already initialized');
    proxy.initialized = true;
    return { value: PROTOCOL_VERSION };
  },
  OpenImage: (proxy, args) => openNamed(proxy, args),
  OpenImageOptional: (proxy, args) =>
    openNamed(proxy, args).catch((error: unknown) => {
      if (error instanceof SlipwayError && isNotFound(error)) return { value: NO_IMAGE };
      throw error;
    }),
  async CloseImage(proxy, args) {
    await proxy.close(only(args, 'expecting one argument'));
    return {};
  },
  async GetManifest(proxy, args) {
    const image = proxy.image(only(args, 'expecting one argument'));
    const opened = await proxy.open(image);
    const value = manifestDigest(opened.document.bytes);
    return { value, pipe: bytesPipe(await ociManifest(image.source, opened)) };
  },
  async GetFullConfig(proxy, args) {
    return { pipe: bytesPipe(goJsonText(await ociConfig(proxy, args))) };
  },
  async GetConfig(proxy, args) {
    const { config } = await ociConfig(proxy, args);
    return { pipe: bytesPipe(goJsonText(isJsonObject(config) ? config : {})) };
  },
  async GetBlob(proxy, args) {
    if (args.length !== 3) throw new Error(`found ${args.length} args, expecting (imgid, digest, size)`);
    const { source } = proxy.image(args[0]);
    const size = asNumber(args[2]);
    const { digest, blob } = await openBlob(proxy, source, args[1], size);
    const pipe = new OutgoingPipe();
    void pipe.send(verified(blob.stream, { digest, sizeBytes: size }));
    return { value: blob.sizeBytes ?? -1, pipe };
  },
  async GetRawBlob(proxy, args) {
    if (args.length !== 2) throw new Error(`found ${args.length} args, expecting (imgid, digest)`);
    const { blob } = await openBlob(proxy, proxy.image(args[0]).source, args[1], -1);
    const [pipe, errors] = [new OutgoingPipe(), new OutgoingPipe()];
    void sendRaw(blob.stream, pipe, errors);
    return { value: blob.sizeBytes ?? -1, pipe, errors };
  },
  async GetLayerInfo(proxy, args) {
    return { value: await layers(proxy, args) };
  },
  async GetLayerInfoPiped(proxy, args) {
    return { pipe: bytesPipe(goJsonText(await layers(proxy, args))) };
  },
  async FinishPipe(proxy, args) {
    const id = asNumber(args[0]);
    const pipe = proxy.pipes.get(id);
    if (!pipe) throw new Error(`finishpipe: no active pipe ${id}`);
    proxy.pipes.delete(id);
    await pipe.finish();
    return {};
  },
};

function only(args: readonly JsonValue[], what: string): JsonValue {
  if (args.length !== 1) throw new Error(`invalid request, ${what}`);
  return args[0] as JsonValue;
}

function asNumber(value: JsonValue | undefined): number {
  if (typeof value !== 'number') throw new Error('expecting numeric');
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`out of range integer for numeric ${value}`);
  return value;
}

async function openNamed(proxy: ImageProxy, args: readonly JsonValue[]): Promise<Result> {
  const name = only(args, 'expecting one argument');
  if (typeof name !== 'string') throw new Error('expecting string imageref');
  const { images, workingDirectory, openPolicy } = proxy.surroundings;
  const reference = await parseImageReference(name, { workingDirectory });
  await using stack = new AsyncDisposableStack();
  const source = stack.use(await reference.openSource(images));
  const policy = await openPolicy();
  const manifest = await readManifest(source);
  await policy.admit({ reference, manifest, signatures: () => source.getSignatures() });
  stack.move();
  return { value: proxy.hold(source) };
}

/** Converted where it is a Docker one; the digest is of what the source has. */
async function ociManifest(source: ImageSource, opened: OpenedImage): Promise<Uint8Array> {
  const { document, manifest } = opened;
  if (manifest.kind === 'schema1')
    throw new Error(`unsupported legacy manifest MIME type: ${document.mediaType}`);
  if (manifest.format === 'oci') return document.bytes;
  return serializeManifest(convertImage(manifest, await readConfigBytes(source, opened), 'oci').manifest);
}

async function ociConfig(proxy: ImageProxy, args: readonly JsonValue[]) {
  const image = proxy.image(only(args, 'expecting: [imgid]'));
  const config = await readImageConfig(
    image.source,
    await proxy.open(image),
    proxy.surroundings.images.signal,
  );
  return parseJsonObject(ociConfigBytes(config), { what: 'image config' });
}

async function openBlob(proxy: ImageProxy, source: ImageSource, name: JsonValue | undefined, size: number) {
  if (typeof name !== 'string') throw new Error('expecting string blobid');
  const digest = parseDigest(name);
  const { signal } = proxy.surroundings.images;
  const blob = await source.getBlob({ mediaType: '', digest, size }, signal ? { signal } : {});
  return { digest, blob };
}

async function sendRaw(
  stream: AsyncIterable<Uint8Array>,
  pipe: OutgoingPipe,
  errors: OutgoingPipe,
): Promise<void> {
  await pipe.send(stream);
  await pipe.finish().catch((error: unknown) => errors.write(JSON.stringify(describe(error))));
  await errors.finish().catch(() => {});
}

async function layers(proxy: ImageProxy, args: readonly JsonValue[]) {
  if (args.length !== 1) throw new Error(`found ${args.length} args, expecting (imgid)`);
  const image = proxy.image(args[0]);
  const { manifest } = await proxy.open(image);
  if (manifest.kind === 'schema1') throw new Error('unsupported legacy manifest');
  const given = (await image.source.layersForCopy?.()) ?? manifest.layers;
  return given.map(({ digest, size, mediaType }) => ({ digest, size, media_type: mediaType }));
}

function bytesPipe(content: Uint8Array | string): OutgoingPipe {
  const pipe = new OutgoingPipe();
  pipe.write(content);
  return pipe;
}
