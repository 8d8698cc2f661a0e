// One node of OpenSearch on loopback. usage: java SearchNode.java FOLDER HTTP_PORT TRANSPORT_PORT

import static org.codelibs.opensearch.runner.OpenSearchRunner.newConfigs;

import org.codelibs.opensearch.runner.OpenSearchRunner;

public class SearchNode {
    public static void main(String[] arguments) throws Exception {
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.setMaxHttpPort(65535);
        runner.onBuild((number, settings) -> {
            settings.put("network.host", "127.0.0.1");
            settings.put("discovery.type", "single-node");
            settings.put("http.port", arguments[1]);
            settings.put("transport.port", arguments[2]);
            settings.put("http.max_content_length", "20mb");
        });
        runner.build(newConfigs().clusterName("tests").numOfNode(1).basePath(arguments[0]));
        Thread.currentThread().join();
    }
}
