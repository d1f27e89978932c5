import type { IdMappings } from '../../store/layer/contract.ts';
import type { WorkingContainer } from '../container/contract.ts';
import type { ContentSummary } from './content-digest.ts';
import type { KnownDigests } from './known-digests.ts';
import type { CopiedFiles } from './previous-copy.ts';
import type { BytePath } from './rooted.ts';
import type { TreeEntry } from './tree-writer.ts';

/** Something to add: a local path or pattern, an http(s) URL, a git repository, or bytes given here (a heredoc). */
export type AddSource = string | { readonly name: string; readonly data: Uint8Array };

/** Options of adding content to a working container: `buildah add` and `copy`, ADD and COPY. */
export interface AddOptions {
  /** True unpacks local archives (ADD). */
  readonly extract?: boolean;
  /** Unpacks downloaded archives too (`ADD --unpack`). */
  readonly extractRemote?: boolean;
  /** Host directory that local sources are below, nothing outside of which is read; absent: `/`, with relative sources counted from the working directory. */
  readonly contextDirectory?: string;
  /** What messages call that directory. Default: its path. */
  readonly contextName?: string;
  /** `user[:group]`, names looked up in the container; absent: 0:0 unless {@link preserveOwnership}. */
  readonly chown?: string;
  readonly preserveOwnership?: boolean;
  /** Octal or symbolic. */
  readonly chmod?: string;
  /** `sha256:…` that a download, or the commit of a git repository, must have. */
  readonly checksum?: string;
  /** Rules as of .containerignore, and the file they came from for messages. */
  readonly excludes?: readonly string[];
  /** The rules for git repositories, counted from the directory that is taken. Default: {@link excludes}. */
  readonly gitExcludes?: readonly string[];
  readonly ignoreFile?: string;
  /** Keep the sources' directories, from behind a `/./` where there is one. */
  readonly parents?: boolean;
  /** Collect into a layer of its own, independent of what is below. */
  readonly link?: boolean;
  readonly sourceIdMappings?: IdMappings;
  /** Digests of files of earlier times: where nothing is written, files that are found there are not read. */
  readonly knownDigests?: KnownDigests;
  /**
   * Told each thing that was read, as it will stand in the image.
   * @param path of the source
   * @param digest of a file's attributes and bytes
   */
  readonly onContent?: (
    path: BytePath,
    entry: TreeEntry,
    sizeBytes: number,
    digest: Uint8Array | undefined,
  ) => void;
  /** Files of an earlier addition of the same sources to the same place may stand for those of this one. */
  readonly reuse?: CopyReuse;
  /** No `..` of a source leads above the context, as in a build. Default: such a source is an error. */
  readonly staysInContext?: boolean;
  readonly stripSetuid?: boolean;
  readonly stripSetgid?: boolean;
  readonly stripSticky?: boolean;
  /** Seconds since the epoch for every file. */
  readonly timestampSeconds?: number;
  /** The newest date, in seconds since the epoch, that the history entry of {@link link} may have. */
  readonly latestSeconds?: number;
  /** Copy directories themselves, not what is in them. */
  readonly keepDirectoryNames?: boolean;
  /** Default true. */
  readonly allowWildcards?: boolean;
  /** A pattern without matches is no error. Default false. */
  readonly allowEmptyWildcard?: boolean;
  /** Follow a source that is a symbolic link. Default true. */
  readonly followSymlinks?: boolean;
  /** Of downloads. */
  readonly certificateDirectory?: string;
  readonly tlsVerify?: boolean;
  /** Default 3. */
  readonly retries?: number;
  /** Default 2000. */
  readonly retryDelayMs?: number;
  /** Where downloads are kept, to be taken again while their server says that they have not changed. */
  readonly downloadDirectory?: string;
  /** The Authorization header for a URL, where there is one. */
  readonly authorization?: (kind: 'http' | 'git', url: URL) => string | undefined;
  /** `--ssh default`: the agent socket, or the key files, that git repositories behind ssh are read with. */
  readonly sshPaths?: readonly string[];
  /** Keep the `.git` directory of a git source; default true. */
  readonly keepGitDirectory?: boolean;
  /** Text behind the history entry that {@link link} writes. */
  readonly linkHistorySuffix?: string;
}

/** For a container whose layer becomes an image's before anything else is written to it, and stays as it is. */
export interface CopyReuse {
  /** What there is to take over, with the directory of its layer's files. */
  readonly previous: (CopiedFiles & { readonly directory: string }) | undefined;
  /** How many mounts the caller has of the container. */
  readonly mounts: number;
  /** Gives them up: the layer is written to directly. */
  unmount(): Promise<void>;
  /** Told where things were added. */
  onBase(base: BytePath): void;
}

/** What concerns downloads and git repositories. */
export type RemoteOptions = Pick<
  AddOptions,
  | 'authorization'
  | 'certificateDirectory'
  | 'checksum'
  | 'downloadDirectory'
  | 'keepGitDirectory'
  | 'retries'
  | 'retryDelayMs'
  | 'sshPaths'
  | 'tlsVerify'
>;

export interface AddResult {
  readonly summary: ContentSummary;
  /** The container with a linked layer queued; the same value otherwise. */
  readonly container: WorkingContainer;
}
