import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['heddle-source'] },
  ssr: { resolve: { conditions: ['heddle-source', 'node', 'import', 'module', 'default'] } },
  test: { include: ['tests/interop/soak.test.ts'], testTimeout: 900_000, hookTimeout: 60_000 },
});
