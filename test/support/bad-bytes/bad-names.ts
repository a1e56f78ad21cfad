import type { MediaFault } from '../../../workflows/domain/media-signature.js';
import type { BadFile } from './bad-file.js';

/** Names under which a history has a file that lies where it should. */
export function badNames(): readonly BadFile[] {
  return [
    named('out of its folder', 'bad_name', '../../etc/passwd.png'),
    named('out of its folder and back', 'bad_name', 'a/../../b.png'),
    named('absolute', 'bad_name', '/etc/passwd.png'),
    named('absolute on Windows', 'bad_name', 'C:\\Windows\\win.png'),
    named('a share', 'bad_name', '\\\\host\\share\\a.png'),
    named('NUL', 'bad_name', 'a.png\0.html'),
    named('a new line', 'bad_name', 'a\r\nX-Injected: 1.png'),
    named('300 letters', 'bad_name', `${'a'.repeat(300)}.png`),
    named('a subfolder out of its folder', 'bad_name', 'a.png', '../../..'),
    named('an absolute subfolder', 'bad_name', 'a.png', '/root'),
    named('a subfolder out of its folder on Windows', 'bad_name', 'a.png', 'dg\\..\\..\\..'),
    named('a backslash', 'missing', 'dg\\a.png'),
    named('a device of Windows', 'missing', 'NUL.png'),
    named('another device of Windows', 'missing', 'COM1.png', 'dg'),
    named('written from right to left', 'missing', '\u202egnp.exe.png'),
    named('a query of its own', 'missing', 'a.png&type=input&subfolder=secret'),
    named('250 letters', 'missing', `${'a'.repeat(246)}.png`),
  ];
}

function named(name: string, fault: MediaFault, ...[filename, subfolder]: [string, string?]): BadFile {
  const rename = { filename, ...(subfolder !== undefined && { subfolder }) };
  return { name: `a name: ${name}`, faults: [fault], body: (file) => file, rename, template: 'strict-picture' };
}
