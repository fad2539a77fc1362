import { defineConfig } from 'vite'

export default defineConfig({
  // Relative URLs, so that the page works below any path.
  base: './',
  resolve: { conditions: ['@peerage/source', 'module', 'browser'] },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es' },
  build: {
    // Where the node serves it from, in a checkout, in its package and in the image.
    outDir: '../server/dist/page',
    emptyOutDir: true,
    target: 'es2022',
    // The content security policy of the page allows neither inline scripts nor data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      // The service worker has its own file beside the page, always of the same name.
      input: { index: 'index.html', downloads: 'src/storage/downloads.ts' },
      output: {
        entryFileNames: ({ name }) => (name === 'downloads' ? '[name].js' : 'assets/[name]-[hash].js'),
      },
    },
  },
})
