import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { createFetchInput } from '../../api/uploads/fetch-input.js';
import type { FetchInputOptions } from '../../api/uploads/fetch-input.js';
import { createAddressRules } from '../../infra/network/address-rules.js';
import { call, createTestSetting, post } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

/** Something inside of the network: nothing of it may be reached. */
let inside: Server;
let reached: string[] = [];
/** Answers by path. */
const answers = new Map<string, RequestListener>();
let folder: string;

beforeAll(async () => {
  inside = createServer((request, response) => {
    reached.push(request.url ?? '');
    const answer = answers.get(request.url ?? '');
    if (answer === undefined) response.writeHead(404).end();
    else answer(request, response);
  });
  await new Promise<void>((resolve) => inside.listen(0, '::', resolve)); // both families
  folder = await mkdtemp(join(tmpdir(), 'input-urls-'));
});
afterAll(async () => {
  inside.closeAllConnections();
  inside.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  reached = [];
  answers.clear();
});

const portOf = (server: Server) => (server.address() as AddressInfo).port;
const here = (path: string) => `http://127.0.0.1:${portOf(inside)}${path}`;

let files = 0;
async function fetching(
  url: string,
  options: Partial<FetchInputOptions> & { readonly networks?: readonly string[] } = {},
) {
  const rules = createAddressRules({ allowsHttp: true, ports: [portOf(inside)], networks: options.networks ?? [] });
  files += 1;
  return createFetchInput({ rules, maxBytes: 100_000, ...options })(url, join(folder, String(files)));
}

/** Each with the port of what listens on all addresses of this machine. */
const PRIVATE_HOSTS = [
  // This machine, in every spelling that WHATWG, inet_aton or a resolver knows.
  ...[
    '127.0.0.1',
    '127.1',
    '127.0.1',
    '127.255.255.254',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0x7f.0.0.1',
    '0177.0.0.1',
  ],
  ...['017700000001', '0177.1', '127.0.0.1.', '0.0.0.0', '0', '0x0', '①②⑦.⓪.⓪.①', '１２７.０.０.１', '127。0。0。1'],
  ...['localhost', 'LOCALHOST', 'localhost.', 'foo.localhost', '%6c%6f%63alhost', '%31%32%37.0.0.1'],
  ...['[::1]', '[0:0:0:0:0:0:0:1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[0:0:0:0:0:ffff:127.0.0.1]'],
  ...['[::127.0.0.1]', '[::ffff:0:127.0.0.1]', '[64:ff9b::127.0.0.1]', '[64:ff9b::7f00:1]', '[64:ff9b:1::7f00:1]'],
  ...['[2002:7f00:1::]', '[2001:0:7f00:1::]', '[fe80::1]', '[fec0::1]', '[fc00::1]', '[fd00:ec2::254]', '[ff02::1]'],
  ...['[2001:db8::1]', '[3fff::1]', '[100::1]', '[5f00::1]'],
  // Other machines of a network, the metadata of clouds, and what is no single machine.
  ...['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.0.1', '169.254.169.254', '0xa9fea9fe', '2852039166'],
  ...['100.64.0.1', '100.100.100.200', '192.0.0.192', '192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1'],
  ...['224.0.0.1', '240.0.0.1', '255.255.255.255', '192.88.99.1', '168.63.129.16.localhost'],
];

describe('B3 A private address', () => {
  test.each(PRIVATE_HOSTS)('%s is not reached', async (host) => {
    const url = `http://${host}:${portOf(inside)}/secret`;
    if (URL.canParse(url))
      await expect(fetching(url)).rejects.toThrow(/is not a public address|does not exist|looked up/);
    expect(reached).toEqual([]);
  });

  test('is spelled in 60 ways at least, most of which an address bar takes', () => {
    expect(PRIVATE_HOSTS.length).toBeGreaterThanOrEqual(60);
    const taken = PRIVATE_HOSTS.filter((host) => URL.canParse(`http://${host}/`));
    expect(taken.length).toBeGreaterThanOrEqual(60);
  });

  test.each([
    ['file:///etc/passwd', /not an address of https or http/],
    ['ftp://example.com/a.png', /not an address of https or http/],
    ['data:image/png;base64,AAAA', /not an address of https or http/],
    ['http://user:secret@example.com/a.png', /holds a user name/],
    ['http://example.com:22/a.png', /uses port 22; allowed are/],
    ['http://example.com:6379/a.png', /uses port 6379/],
  ])('%s is refused unasked', async (url, words) => {
    await expect(fetching(url)).rejects.toThrow(words);
  });

  test('is not reached by a redirect, from an address that is allowed', async () => {
    const there = `http://169.254.169.254/latest/meta-data`;
    answers.set('/away', (_request, response) => response.writeHead(302, { location: there }).end());
    const networks = ['127.0.0.1/32'];
    await expect(fetching(here('/away'), { networks })).rejects.toThrow(/169\.254\.169\.254, which is not a public/);
    answers.set('/local', (_request, response) =>
      response.writeHead(302, { location: `http://[::1]:${portOf(inside)}/secret` }).end(),
    );
    await expect(fetching(here('/local'), { networks })).rejects.toThrow(/not a public address/);
    expect(reached).toEqual(['/away', '/local']);
  });

  test('is not reached by a name that resolves to it the second time, a hundred times', async () => {
    const dns = await startRebindingDns();
    const resolver = new Resolver({ timeout: 2_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${dns.port}`]);
    const resolveHost = async (hostname: string) =>
      (await resolver.resolve4(hostname)).map((address) => ({ address, family: 4 as const }));
    for (let round = 0; round < 100; round += 1) {
      // The first answer is public: it is connected to, and nothing listens there; the second, private one is refused.
      const url = `http://n${round}.rebind.test:${portOf(inside)}/secret`;
      const first = await resolveHost(new URL(url).hostname);
      expect(first).toEqual([{ address: '198.41.0.4', family: 4 }]);
      await expect(fetching(url, { resolveHost })).rejects.toThrow(/not a public address/);
    }
    expect(reached).toEqual([]);
    dns.socket.close();
  });

  test('is not reached by a name that has a public and a private address', async () => {
    const both = [
      { address: '198.41.0.4', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ];
    const resolveHost = async () => Promise.resolve(both);
    await expect(fetching(`http://two.test:${portOf(inside)}/`, { resolveHost })).rejects.toThrow(
      /not a public address/,
    );
    expect(reached).toEqual([]);
  });

  test('is reached where the operators allow its network', async () => {
    answers.set('/a.png', (_request, response) => response.end('abc'));
    expect(await fetching(here('/a.png'), { networks: ['127.0.0.0/8'] })).toMatchObject({ bytes: 3 });
    await expect(fetching(`http://[::1]:${portOf(inside)}/a.png`, { networks: ['127.0.0.0/8'] })).rejects.toThrow();
    expect(await fetching(`http://[::1]:${portOf(inside)}/a.png`, { networks: ['::1/128'] })).toMatchObject({
      bytes: 3,
    });
  });
});

describe('An address that may be fetched', () => {
  const networks = ['127.0.0.1/32'];
  const picture = async () =>
    sharp({ create: { width: 30, height: 20, channels: 3, background: '#123456' } })
      .png()
      .toBuffer();

  test.each<readonly [string, RequestListener, RegExp]>([
    [
      'answers with an error',
      (_request, response) => response.writeHead(500).end('secret'),
      /answered with status 500$/,
    ],
    [
      'announces too much',
      (_request, response) => response.writeHead(200, { 'content-length': 100_001 }).end(),
      /more than the 100000 bytes/,
    ],
    [
      'sends too much',
      (_request, response) => {
        response.write('chunked');
        response.end(Buffer.alloc(100_000));
      },
      /holds more than the 100000 bytes/,
    ],
    ['sends nothing', (_request, response) => response.end(), /Downloaded 0 bytes/],
    [
      'is compressed',
      (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
      /Content-Encoding gzip/,
    ],
    [
      'redirects for ever',
      (_request, response) => response.writeHead(302, { location: '/it' }).end(),
      /redirects more than 3 times/,
    ],
    [
      'redirects to nothing',
      (_request, response) => response.writeHead(302, { location: 'http://[' }).end(),
      /no address/,
    ],
    [
      'breaks off',
      (request, response) => {
        response.writeHead(200, { 'content-length': 10 }).write('abc');
        setTimeout(() => request.socket.destroy(), 50);
      },
      /broke off after \d+ bytes/,
    ],
  ])('and %s is refused in words', async (_what, answer, words) => {
    answers.set('/it', answer);
    await expect(fetching(here('/it'), { networks })).rejects.toThrow(words);
  });

  describe('in a request', () => {
    let setting: TestSetting;
    let api: string;
    beforeAll(async () => {
      setting = await createTestSetting();
      api = await setting.startApi({
        INPUT_URLS: 'http',
        INPUT_URL_NETWORKS: '127.0.0.1/32',
        INPUT_URL_PORTS: `443,${portOf(inside)}`,
      });
    }, 60_000);
    afterAll(async () => setting.release());

    const graph = {
      '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } },
      '2': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'x' } },
    };

    test('is fetched once, becomes an upload, and is sent no secret of ours', async () => {
      const bytes = await picture();
      answers.set('/a.png', (_request, response) => response.end(bytes));
      const accepted = await post(`${api}/v1/generations`, { graph, images: { 'a.png': here('/a.png') } });
      expect([accepted.status, reached]).toEqual([202, ['/a.png']]);
      const [row] = await setting.database.selectFrom('uploads').selectAll().execute();
      expect(row).toMatchObject({ kind: 'image', width_px: 30, height_px: 20 });
    });

    test('is refused by its place when it holds no picture', async () => {
      answers.set('/page', (_request, response) => response.end('<html>secret</html>'));
      const { status, json, text } = await post(`${api}/v1/generations`, { graph, images: { 'a.png': here('/page') } });
      expect([status, json['code']]).toEqual([422, 'input_unusable']);
      expect(json['errors']).toMatchObject([
        {
          pointer: '/images/a.png',
          message: expect.stringMatching(/^names an address whose file is none that ComfyUI/),
        },
      ]);
      expect(text).not.toContain('secret');
      expect(await readdir(folder)).not.toContain('page');
    });

    test('is not fetched where that is switched off, and https alone is the default', async () => {
      const off = await setting.startApi({ INPUT_URLS: 'off' });
      const refused = await post(`${off}/v1/generations`, { graph, images: { 'a.png': 'https://example.com/a.png' } });
      expect(refused.json['detail']).toMatch(/is not fetched by this service; upload the file instead/);
      const secure = await setting.startApi();
      const http = await post(`${secure}/v1/generations`, { graph, images: { 'a.png': 'http://example.com/a.png' } });
      expect(http.json['detail']).toMatch(/is not an address of https\.$/);
    });

    test.each([
      [{ INPUT_URLS: 'yes' }, /INPUT_URLS is "yes"/],
      [{ INPUT_URL_PORTS: '443,x' }, /INPUT_URL_PORTS must be ports/],
      [{ INPUT_URL_NETWORKS: '10.0.0.0' }, /INPUT_URL_NETWORKS holds "10\.0\.0\.0"/],
      [{ INPUT_URL_NETWORKS: '10.0.0.0/33' }, /INPUT_URL_NETWORKS holds/],
    ])('a setting that cannot be used stops the start: %j', async (env, words) => {
      await expect(setting.startApi(env)).rejects.toThrow(words);
    });

    test('health is told all the same', async () => {
      expect((await call(`${api}/livez`)).status).toBe(200);
    });
  });
});

/** Answers the first question about a name with a public address, every later one with this machine. */
async function startRebindingDns(): Promise<{ readonly port: number; readonly socket: Socket }> {
  const asked = new Set<string>();
  const socket = createSocket('udp4');
  socket.on('message', (query, { port, address }) => {
    const question = query.subarray(12);
    const name = question.subarray(0, question.indexOf(0)).toString('latin1');
    const octets = asked.has(name) ? [127, 0, 0, 1] : [198, 41, 0, 4];
    asked.add(name);
    const end = 12 + question.indexOf(0) + 5;
    const head = Buffer.from(query.subarray(0, end));
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(1, 6);
    head.writeUInt16BE(0, 8);
    head.writeUInt16BE(0, 10);
    const answer = Buffer.from([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...octets]);
    socket.send(Buffer.concat([head, answer]), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { port: socket.address().port, socket };
}
