// `node.mjs PORT`: Node's own server, by Express where it is `express`, and the same for Fastify.
import { createServer } from "node:http";

const [kind, port] = process.argv.slice(2);
const later = () => new Promise((done) => setTimeout(done, 2000));

async function answer(request, response) {
  const path = request.url;
  if (path === "/slow") await later();
  if (path !== "/refuse") for await (const _ of request);
  response.writeHead(path === "/refuse" ? 401 : 200, { "Content-Length": 3 }).end("ok\n");
}

if (kind === "node") createServer(answer).listen(+port, "127.0.0.1");
if (kind === "express") {
  const { default: express } = await import("express");
  express().use(answer).listen(+port, "127.0.0.1");
}
if (kind === "fastify") {
  const { default: fastify } = await import("fastify");
  const app = fastify();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  // Before the body is read, where people put their authentication.
  app.addHook("onRequest", async (request, reply) => {
    if (request.url === "/refuse") return reply.code(401).send("no\n");
  });
  app.all("/*", async (request) => {
    if (request.url === "/slow") await later();
    return "ok\n";
  });
  await app.listen({ port: +port, host: "127.0.0.1" });
}
