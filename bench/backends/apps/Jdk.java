// The server in the JDK: `java Jdk.java PORT`.
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

public class Jdk {
    public static void main(String[] arguments) throws Exception {
        var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0]));
        var server = HttpServer.create(address, 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> {
            var path = exchange.getRequestURI().getPath();
            try {
                if (path.equals("/slow")) Thread.sleep(2000);
            } catch (InterruptedException error) {
                return;
            }
            if (!path.equals("/refuse")) exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(path.equals("/refuse") ? 401 : 200, 3);
            exchange.getResponseBody().write("ok\n".getBytes());
            exchange.close();
        });
        server.start();
    }
}
