// Jetty as applications embed it: `JettyApp PORT`.
import java.io.IOException;
import java.net.InetSocketAddress;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.handler.AbstractHandler;

public class JettyApp {
    public static void main(String[] arguments) throws Exception {
        var server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
        server.setHandler(new AbstractHandler() {
            @Override
            public void handle(String path, Request base, HttpServletRequest request, HttpServletResponse response)
                    throws IOException {
                try {
                    if (path.equals("/slow")) Thread.sleep(2000);
                } catch (InterruptedException error) {
                    throw new IOException(error);
                }
                if (!path.equals("/refuse")) request.getInputStream().readAllBytes();
                response.setStatus(path.equals("/refuse") ? 401 : 200);
                response.setContentLength(3);
                response.getOutputStream().print("ok\n");
                base.setHandled(true);
            }
        });
        server.setStopAtShutdown(true);
        server.start();
        server.join();
    }
}
