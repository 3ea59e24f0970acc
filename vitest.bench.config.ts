import { defineConfig } from 'vitest/config';

/** The benchmarks use vitest as their runner for TypeScript only: they print tables and assert nothing about time. */
export default defineConfig({
  resolve: { conditions: ['heddle-source'] },
  ssr: { resolve: { conditions: ['heddle-source', 'node', 'import', 'module', 'default'] } },
  test: {
    include: ['bench/**/*.bench.ts'],
    fileParallelism: false,
    disableConsoleIntercept: true,
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
});
