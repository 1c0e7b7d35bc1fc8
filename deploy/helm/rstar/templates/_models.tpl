{{/* What policy pools and the PPM share. Takes root, component, service, port, values. */}}
{{- define "rstar.model" -}}
{{- $v := .values -}}
{{- $common := include "rstar.commonSettings" (dict "root" .root "port" .port "drainSeconds" $v.drainSeconds) | fromYaml -}}
{{- $own := dict "model" $v.model "start_seconds" $v.startSeconds "store" (default "/models" .root.Values.models.url) "metrics_port" 9090 -}}
{{- $gpu := gt (int $v.gpus) 0 -}}
{{- $resources := deepCopy $v.resources -}}
{{- if $gpu -}}
{{- $limits := set (default (dict) $resources.limits) $v.gpuResource ($v.gpus | toString) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- $_ := set $own "tensor_parallel" $v.gpus -}}
{{- end -}}
{{- $mounts := list (dict "name" "cache" "mountPath" "/cache") -}}
{{- $volumes := list (dict "name" "cache" "emptyDir" (dict)) -}}
{{- if not .root.Values.models.url -}}
{{- $mounts = append $mounts (dict "name" "models" "mountPath" "/models" "readOnly" true) -}}
{{- $volumes = append $volumes (dict "name" "models" "persistentVolumeClaim" (dict "claimName" (include "rstar.modelClaim" .root) "readOnly" true)) -}}
{{- end -}}
{{- if $gpu -}}
{{- /* Tensor parallel workers meet in shared memory, of which a pod has 64 MiB by default. */ -}}
{{- $mounts = append $mounts (dict "name" "shm" "mountPath" "/dev/shm") -}}
{{- $volumes = append $volumes (dict "name" "shm" "emptyDir" (dict "medium" "Memory" "sizeLimit" "2Gi")) -}}
{{- end -}}
{{- $envFrom := list -}}
{{- with .root.Values.models.credentialsSecret -}}
{{- $envFrom = append $envFrom (dict "secretRef" (dict "name" .)) -}}
{{- end -}}
{{- /* A model takes long to load, and the port is open meanwhile. */ -}}
{{- $probe := include "rstar.grpcProbe" (dict "root" .root "port" .port "http" "metrics") -}}
{{- $home := list (dict "name" "HOME" "value" "/cache") (dict "name" "RSTAR_HOME" "value" "/cache/rstar") -}}
{{- /* How `rstar models` says that an alias has moved; without it the services look every poll_seconds. */ -}}
{{- $redis := dict "name" (printf "RSTAR_%s_REDIS_URL" (upper .service)) "valueFrom" (dict "secretKeyRef" (dict "name" (include "rstar.redisSecret" .root) "key" (include "rstar.redisKey" .root))) -}}
{{ include "rstar.deployment" (dict
  "root" .root "component" .component "image" .service "suffix" (ternary "-gpu" "-cpu" $gpu) "values" $v
  "settings" (mergeOverwrite (dict) $common $own $v.settings)
  "extraEnv" (append $home $redis) "envFrom" $envFrom
  "ports" (dict "grpc" .port "metrics" 9090)
  "probe" $probe "liveness" (printf "tcpSocket:\n  port: %d" (int .port))
  "startSeconds" $v.startSeconds "resources" $resources "mounts" $mounts "volumes" $volumes
  "maxUnavailable" (ternary 1 0 $gpu)
) }}
---
{{ include "rstar.headless" (dict "root" .root "component" .component "ports" (dict "grpc" .port "metrics" 9090)) }}
---
{{ include "rstar.pdb" (dict "root" .root "component" .component "values" $v) }}
{{- include "rstar.scaler" (dict
  "root" .root "component" .component "values" $v
  "metric" "vllm_num_requests_waiting" "target" ($v.autoscaling.waitingRequests | toString)
  "query" "sum(vllm:num_requests_waiting{%s})" "kind" "AverageValue" "threshold" ($v.autoscaling.waitingRequests | toString)
) }}
{{- end -}}
