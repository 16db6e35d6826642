/** A file on a web server: nginx, which gives ranges, with strong ETags and, at another port, with dates alone. */
import { type NginxServer, nginxAvailable, startNginx } from '../support/nginx.js';
import type { EndKind } from './end.js';
import { filesIn } from './local-ends.js';

function nginxEnd(name: string, server: NginxServer): EndKind {
  return {
    name,
    whyNot: () => (nginxAvailable() ? '' : 'needs nginx'),
    start: async (folder) => {
      const nginx = await startNginx(folder, server);
      const port = Number(new URL(nginx.urls[0] as string).port);
      const { put, remove } = filesIn(folder);
      const address = { host: '127.0.0.1', port };
      const location = (file: string, at = address): string => `http://${at.host}:${at.port}/${file}`;
      return {
        source: { put, location },
        remove,
        server: { address, kill: nginx.kill, restart: nginx.restart },
        stop: nginx.stop,
      };
    },
  };
}

export const httpSource = nginxEnd('an http server', {});
