/** A server program that npm does not carry. */
export interface KnownProgram {
  readonly name: 'temporal' | 'minio';
  /** What is installed with Go, and the version in the name of the cache folder. */
  readonly goModule: string;
  readonly goVersion: string;
  /** `go list -deps` of that version: how many packages a first build compiles at most. */
  readonly goPackages: number;
  /** Measured on two cores with an empty build cache. */
  readonly usualMinutes: number;
  readonly release: OfficialRelease;
  readonly pathVariable: 'TEMPORAL_CLI_PATH' | 'MINIO_PATH';
  readonly addressVariable: 'TEMPORAL_ADDRESS' | 'S3_ENDPOINT';
  /** Why this `--version` answer is not good enough, or `null`. */
  readonly objectionTo: (versionAnswer: string) => string | null;
}

export interface OfficialRelease {
  readonly version: string;
  readonly url: (platform: NodeJS.Platform, architecture: string) => string;
  readonly isArchive: boolean;
}

/** Priority with fairness came with this server. */
const OLDEST_TEMPORAL = [1, 29] as const;

/** The last version that `go install` takes: later ones carry replace directives. */
export const TEMPORAL: KnownProgram = {
  name: 'temporal',
  goModule: 'github.com/temporalio/cli/cmd/temporal',
  goVersion: 'v1.5.1',
  goPackages: 1298,
  usualMinutes: 5,
  release: {
    version: 'v1.5.1',
    url: (platform, architecture) =>
      'https://github.com/temporalio/cli/releases/download/v1.5.1/' +
      `temporal_cli_1.5.1_${platform}_${goArchitecture(architecture)}.tar.gz`,
    isArchive: true,
  },
  pathVariable: 'TEMPORAL_CLI_PATH',
  addressVariable: 'TEMPORAL_ADDRESS',
  objectionTo(versionAnswer) {
    const [, major, minor] = /Server (\d+)\.(\d+)\./.exec(versionAnswer) ?? [];
    if (major === undefined || minor === undefined) return 'is not the Temporal CLI with a server';
    const [oldestMajor, oldestMinor] = OLDEST_TEMPORAL;
    const isOld = Number(major) < oldestMajor || (Number(major) === oldestMajor && Number(minor) < oldestMinor);
    return isOld ? `holds server ${major}.${minor}, but ${oldestMajor}.${oldestMinor} or newer is needed` : null;
  },
};

/** The community edition gets no more official binaries; the last tag builds with Go, the release before it is older. */
export const MINIO: KnownProgram = {
  name: 'minio',
  goModule: 'github.com/minio/minio',
  goVersion: 'v0.0.0-20260212201848-7aac2a2c5b7c',
  goPackages: 1301,
  usualMinutes: 3,
  release: {
    version: 'RELEASE.2025-09-07T16-13-09Z',
    url: (platform, architecture) =>
      `https://dl.min.io/server/minio/release/${platform}-${goArchitecture(architecture)}/archive/` +
      'minio.RELEASE.2025-09-07T16-13-09Z',
    isArchive: false,
  },
  pathVariable: 'MINIO_PATH',
  addressVariable: 'S3_ENDPOINT',
  objectionTo: (versionAnswer) => (versionAnswer.startsWith('minio version') ? null : 'is not the MinIO server'),
};

function goArchitecture(architecture: string): string {
  return architecture === 'x64' ? 'amd64' : architecture;
}
