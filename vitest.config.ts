import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['heddle-source'] },
  ssr: { resolve: { conditions: ['heddle-source', 'node', 'import', 'module', 'default'] } },
  test: {
    include: [
      'packages/*/src/**/*.test.ts',
      'packages/*/test/**/*.test.ts',
      'tests/*.test.ts',
      'tests/e2e/**/*.test.ts',
    ],
    testTimeout: 20_000,
  },
});
