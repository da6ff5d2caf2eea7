// Bun's and Deno's own server: `fetch_server.mjs PORT`.
const port = +(globalThis.Deno ? Deno.args[0] : process.argv[2]);
const later = () => new Promise((done) => setTimeout(done, 2000));

async function answer(request) {
  const path = new URL(request.url).pathname;
  if (path === "/refuse") return new Response("no\n", { status: 401 });
  if (path === "/slow") await later();
  if (request.body) for await (const _ of request.body);
  return new Response("ok\n");
}

if (globalThis.Deno) Deno.serve({ port, hostname: "127.0.0.1" }, answer);
else Bun.serve({ port, hostname: "127.0.0.1", fetch: answer });
