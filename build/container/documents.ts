import type { HistoryEntry, ImageConfig, RuntimeConfig } from '../../image/config.ts';
import { sortedMap } from '../../image/go-json.ts';

type Json = Record<string, unknown>;

/**
 * An OCI image config with exactly the keys of image-spec v1.1 config.md, in the order in which Go's encoder writes
 * them, so that equal values give equal bytes. Docker's additions (health check, shell, ON BUILD) are left out.
 */
export function ociDocument(image: ImageConfig): Json {
  return present({
    created: image.created,
    author: image.author || undefined,
    architecture: image.architecture,
    os: image.os,
    'os.version': image['os.version'] || undefined,
    'os.features': filled(image['os.features']),
    variant: image.variant || undefined,
    config: ociRuntime(image.config ?? {}),
    rootfs: { type: image.rootfs.type, diff_ids: image.rootfs.diff_ids },
    history: filled(image.history?.map((entry) => historyDocument(entry))),
  });
}

function ociRuntime(config: RuntimeConfig): Json {
  return present({
    User: config.User || undefined,
    ExposedPorts: sortedMap(config.ExposedPorts),
    Env: filled(config.Env),
    Entrypoint: filled(config.Entrypoint),
    Cmd: filled(config.Cmd),
    Volumes: sortedMap(config.Volumes),
    WorkingDir: config.WorkingDir || undefined,
    Labels: sortedMap(config.Labels),
    StopSignal: config.StopSignal || undefined,
    ArgsEscaped: config.ArgsEscaped || undefined,
  });
}

/** Docker's image config (moby image/image.go as Buildah writes it), keys in the order of its encoder. */
export function dockerDocument(image: ImageConfig): Json {
  const runtime = dockerRuntime(image.config ?? {});
  return present({
    comment: (image as { comment?: string }).comment || undefined,
    created: image.created ?? ZERO_TIME,
    container: image.container || undefined,
    container_config: runtime,
    docker_version: image.docker_version || undefined,
    author: image.author || undefined,
    config: runtime,
    architecture: image.architecture || undefined,
    variant: image.variant || undefined,
    os: image.os || undefined,
    parent: image.parent || undefined,
    rootfs: present({ type: image.rootfs.type, diff_ids: filled(image.rootfs.diff_ids) }),
    history: filled(image.history?.map((entry) => historyDocument(entry, ZERO_TIME))),
    'os.version': image['os.version'] || undefined,
    'os.features': filled(image['os.features']),
  });
}

const ZERO_TIME = '0001-01-01T00:00:00Z';

function dockerRuntime(config: RuntimeConfig): Json {
  const extra = config as Json;
  return present({
    Hostname: config.Hostname ?? '',
    Domainname: config.Domainname ?? '',
    User: config.User ?? '',
    AttachStdin: extra.AttachStdin ?? false,
    AttachStdout: extra.AttachStdout ?? false,
    AttachStderr: extra.AttachStderr ?? false,
    ExposedPorts: sortedMap(config.ExposedPorts),
    Tty: extra.Tty ?? false,
    OpenStdin: extra.OpenStdin ?? false,
    StdinOnce: extra.StdinOnce ?? false,
    Env: config.Env ?? null,
    Cmd: config.Cmd ?? null,
    Healthcheck: config.Healthcheck,
    ArgsEscaped: config.ArgsEscaped || undefined,
    Image: extra.Image ?? '',
    Volumes: sortedOrNull(config.Volumes),
    WorkingDir: config.WorkingDir ?? '',
    Entrypoint: config.Entrypoint ?? null,
    NetworkDisabled: extra.NetworkDisabled || undefined,
    MacAddress: extra.MacAddress || undefined,
    OnBuild: config.OnBuild ?? [],
    Labels: sortedOrNull(config.Labels),
    StopSignal: config.StopSignal || undefined,
    StopTimeout: extra.StopTimeout ?? undefined,
    Shell: filled(config.Shell),
  });
}

/** A history entry with the keys in OCI's order; in Docker's where there is a time for entries without one. */
export function historyDocument(entry: HistoryEntry, noTime?: string): Json {
  const { created = noTime, created_by, author, comment, empty_layer } = entry;
  const text = { created_by: created_by || undefined, author: author || undefined };
  const [first, second] = noTime === undefined ? ['created_by', 'author'] : ['author', 'created_by'];
  return present({
    created,
    [first as string]: text[first as keyof typeof text],
    [second as string]: text[second as keyof typeof text],
    comment: comment || undefined,
    empty_layer: empty_layer || undefined,
  });
}

function present(json: Json): Json {
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined));
}

function filled<T>(list: readonly T[] | null | undefined): readonly T[] | undefined {
  return list?.length ? list : undefined;
}

/** Where Go's encoder leaves nothing out: a map that was never made is null, an emptied one `{}`. */
function sortedOrNull(
  map: Readonly<Record<string, unknown>> | null | undefined,
): Map<string, unknown> | null {
  return map ? (sortedMap(map) ?? new Map()) : null;
}
