/** A server program that npm does not carry. */
export interface KnownProgram {
  readonly name: 'temporal' | 'minio' | 'versitygw' | 'prometheus';
  /** What is installed with Go, and the version in the name of the cache folder. */
  readonly goModule: string;
  readonly goVersion: string;
  /** Leave out what is not needed of it. */
  readonly goTags?: string;
  /** `go list -deps` of that version: how many packages a first build compiles at most. */
  readonly goPackages: number;
  /** Measured on two cores with an empty build cache. */
  readonly usualMinutes: number;
  readonly release: OfficialRelease;
  readonly pathVariable: 'TEMPORAL_CLI_PATH' | 'MINIO_PATH' | 'VERSITYGW_PATH' | 'PROMETHEUS_PATH';
  /** Names a server that is running already; `null`: none will do. */
  readonly addressVariable: 'TEMPORAL_ADDRESS' | 'S3_ENDPOINT' | null;
  /** Why this `--version` answer is not good enough, or `null`. */
  readonly objectionTo: (versionAnswer: string) => string | null;
}

export interface OfficialRelease {
  readonly version: string;
  readonly url: (platform: NodeJS.Platform, architecture: string) => string;
  /** Where in the `.tar.gz` it lies; `null`: what is downloaded is the program itself. */
  readonly pathInArchive: ((platform: NodeJS.Platform, architecture: string) => string) | null;
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
    pathInArchive: () => 'temporal',
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
    pathInArchive: null,
  },
  pathVariable: 'MINIO_PATH',
  addressVariable: 'S3_ENDPOINT',
  objectionTo: (versionAnswer) => (versionAnswer.startsWith('minio version') ? null : 'is not the MinIO server'),
};

/** An S3 server under the Apache licence that keeps objects as plain files; for who does not want MinIO. */
export const VERSITYGW: KnownProgram = {
  name: 'versitygw',
  goModule: 'github.com/versity/versitygw/cmd/versitygw',
  goVersion: 'v1.8.0',
  goPackages: 589,
  usualMinutes: 2,
  release: {
    version: 'v1.8.0',
    url: (platform, architecture) =>
      `https://github.com/versity/versitygw/releases/download/v1.8.0/${versitygwFolder(platform, architecture)}.tar.gz`,
    pathInArchive: (platform, architecture) => `${versitygwFolder(platform, architecture)}/versitygw`,
  },
  pathVariable: 'VERSITYGW_PATH',
  addressVariable: 'S3_ENDPOINT',
  // A build by "go install" does not know its version: it says "Version  : git".
  objectionTo: (versionAnswer) => (/^Version *:/m.test(versionAnswer) ? null : 'is not the Versity S3 gateway'),
};

/** Its releases are named after what `uname` answers (its .goreleaser.yaml). */
function versitygwFolder(platform: NodeJS.Platform, architecture: string): string {
  const system = platform.charAt(0).toUpperCase() + platform.slice(1);
  return `versitygw_v1.8.0_${system}_${architecture === 'x64' ? 'x86_64' : architecture}`;
}

function goArchitecture(architecture: string): string {
  return architecture === 'x64' ? 'amd64' : architecture;
}
