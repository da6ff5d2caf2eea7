// Tomcat as applications embed it: `TomcatApp PORT FOLDER`.
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.apache.catalina.startup.Tomcat;

public class TomcatApp {
    public static void main(String[] arguments) throws Exception {
        var tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[1]);
        tomcat.setPort(Integer.parseInt(arguments[0]));
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        var context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "all", new HttpServlet() {
            @Override
            protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
                var path = request.getRequestURI();
                try {
                    if (path.equals("/slow")) Thread.sleep(2000);
                } catch (InterruptedException error) {
                    throw new IOException(error);
                }
                if (!path.equals("/refuse")) request.getInputStream().readAllBytes();
                response.setStatus(path.equals("/refuse") ? 401 : 200);
                response.setContentLength(3);
                response.getOutputStream().print("ok\n");
            }
        });
        context.addServletMappingDecoded("/*", "all");
        tomcat.start();
        tomcat.getServer().await();
    }
}
