// `npm run build`: compiles and bundles the sources that have changed since the last build. Types are not checked here,
// because the compiler would take ten seconds after every edit. `npm run lint` checks them, before the build in `.ci/run`.
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildChanged, failureText } from './build/build-changed.mjs';

await buildChanged(dirname(dirname(fileURLToPath(import.meta.url)))).catch((error) => {
  process.stderr.write(failureText(error));
  process.exitCode = 1;
});
