// A mail server that keeps what it is given and shows it over HTTP, and an SMS gateway
// that does the same.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { SMTPServer } from "smtp-server";

const { SMTP, HTTP, CERT, KEY, PASSWORD, TOKEN } = process.env;
const kept = [];

const collect = (stream, done) => {
	const chunks = [];
	stream.on("data", (c) => chunks.push(c));
	stream.on("end", () => done(Buffer.concat(chunks).toString()));
};

new SMTPServer({
	cert: readFileSync(CERT),
	key: readFileSync(KEY),
	onAuth(auth, session, next) {
		if (!session.secure || auth.username !== "gateway" || auth.password !== PASSWORD) return next(new Error("bad credentials"));
		next(null, { user: auth.username });
	},
	onData(stream, session, next) {
		collect(stream, (raw) => {
			kept.push({ from: session.envelope.mailFrom.address, to: session.envelope.rcptTo.map((r) => r.address), tls: session.secure, user: session.user, raw });
			next();
		});
	},
}).listen(Number(SMTP), "127.0.0.1");

createServer((q, r) => {
	collect(q, (body) => {
		if (q.method === "GET") return r.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(kept));
		if (q.headers.authorization !== `Bearer ${TOKEN}`) return r.writeHead(401).end();
		const sms = JSON.parse(body);
		kept.push({ to: [sms.to], raw: sms.text, sms: true });
		r.writeHead(202).end();
	});
}).listen(Number(HTTP), "127.0.0.1");
