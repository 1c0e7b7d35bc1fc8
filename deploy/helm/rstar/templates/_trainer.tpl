{{/*
The name of a job. A Job cannot be changed, so its name has a hash of what it is made of: other values
make another Job, and Helm takes the old one away. Takes root, kind, run, values.
*/}}
{{- define "rstar.jobName" -}}
{{- $made := dict "values" .values "image" .root.Values.image "trainer" (omit .root.Values.trainer "harvest" "training" "evolution") "app" .root.Chart.AppVersion -}}
{{- printf "%s-%s-%s-%s" (include "rstar.name" .root | trunc 24 | trimSuffix "-") .kind .run (toJson $made | sha256sum | trunc 6) -}}
{{- end -}}

{{/* Environment of a job: where search and Redis are, what it shows them. Takes root. */}}
{{- define "rstar.trainerEnv" -}}
{{- $key := .root.Values.trainer.apiKey -}}
- name: HOME
  value: /tmp
- name: RSTAR_HOME
  value: /tmp/rstar
- name: RSTAR_SEARCH_TARGET
  value: {{ include "rstar.target" (dict "root" .root "component" "search-grpc" "port" .root.Values.search.service.grpcPort) }}
- name: RSTAR_HARVEST_TARGET
  value: {{ include "rstar.target" (dict "root" .root "component" "search-grpc" "port" .root.Values.search.service.grpcPort) }}
- name: RSTAR_STORE
  value: {{ default "/models" .root.Values.models.url | quote }}
- name: RSTAR_HARVEST_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "rstar.redisSecret" .root }}
      key: {{ include "rstar.redisKey" .root }}
{{- /* The name by which `rstar models` knows it, to say that an alias has moved. */}}
- name: RSTAR_SEARCH_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "rstar.redisSecret" .root }}
      key: {{ include "rstar.redisKey" .root }}
{{- if $key.existingSecret }}
- name: RSTAR_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $key.existingSecret }}
      key: {{ $key.key }}
{{- else if eq .root.Values.auth.mode "keys" }}
- name: RSTAR_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "rstar.authSecret" .root }}
      key: admin-key
{{- end }}
{{- if .root.Values.tls.enabled }}
- name: RSTAR_TLS_CA
  value: /tls/ca.crt
- name: RSTAR_TLS_CERT
  value: /tls/tls.crt
- name: RSTAR_TLS_KEY
  value: /tls/tls.key
{{- end }}
{{- end -}}

{{/*
The template of a job's pods. Takes root, name (of the container), command, values (gpus, resources,
placement), env (a list), config (of /config, a ConfigMap's name), subdomain, wait (a file), job (a label),
dataless (no /data).
*/}}
{{- define "rstar.trainerPod" -}}
{{- $trainer := .root.Values.trainer -}}
{{- $gpus := int (default 0 .values.gpus) -}}
{{- $resources := deepCopy .values.resources -}}
{{- if gt $gpus 0 -}}
{{- $_ := set $resources "limits" (set (default (dict) $resources.limits) $trainer.gpuResource ($gpus | toString)) -}}
{{- end -}}
metadata:
  labels:
    {{- include "rstar.labels" (dict "root" .root "component" "trainer") | nindent 4 }}
    {{- with .job }}
    rstar.dev/job: {{ . }}
    {{- end }}
spec:
  serviceAccountName: {{ include "rstar.name" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  restartPolicy: Never
  {{- /* Jobs have no drain setting: a worker commits, a training writes its checkpoint. */}}
  terminationGracePeriodSeconds: {{ $trainer.drainSeconds }}
  {{- with .subdomain }}
  subdomain: {{ . }}
  {{- end }}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- include "rstar.podSecurity" .root | nindent 4 }}
  {{- include "rstar.placement" $trainer | nindent 2 }}
  {{- with .wait }}
  initContainers:
    - name: wait
      image: {{ include "rstar.image" (dict "root" $.root "image" "trainer" "suffix" (ternary "-gpu" "-cpu" (gt $gpus 0))) }}
      imagePullPolicy: {{ $.root.Values.image.pullPolicy }}
      command: [sh, -c, {{ printf "until [ -f %s ]; do sleep 2; done" . | quote }}]
      resources:
        requests: {cpu: 10m, memory: 16Mi}
        limits: {memory: 64Mi}
      securityContext:
        {{- include "rstar.containerSecurity" $.root | nindent 8 }}
      volumeMounts:
        - name: data
          mountPath: /data
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "rstar.image" (dict "root" .root "image" "trainer" "suffix" (ternary "-gpu" "-cpu" (gt $gpus 0))) }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command:
        {{- toYaml .command | nindent 8 }}
      env:
        {{- include "rstar.trainerEnv" . | nindent 8 }}
        {{- with .env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $trainer.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .root.Values.models.credentialsSecret }}
      envFrom:
        - secretRef:
            name: {{ . }}
      {{- end }}
      resources:
        {{- toYaml $resources | nindent 8 }}
      securityContext:
        {{- include "rstar.containerSecurity" .root | nindent 8 }}
      volumeMounts:
        {{- include "rstar.mounts" .root | nindent 8 }}
        {{- if not .dataless }}
        - name: data
          mountPath: /data
        {{- end }}
        {{- if not .root.Values.models.url }}
        - name: models
          mountPath: /models
        {{- end }}
        {{- if .config }}
        - name: config
          mountPath: /config
          readOnly: true
        {{- end }}
        {{- if gt $gpus 0 }}
        - name: shm
          mountPath: /dev/shm
        {{- end }}
  volumes:
    {{- include "rstar.volumes" .root | nindent 4 }}
    {{- if not .dataless }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ include "rstar.trainerClaim" .root }}
    {{- end }}
    {{- if not .root.Values.models.url }}
    - name: models
      persistentVolumeClaim:
        claimName: {{ include "rstar.modelClaim" .root }}
    {{- end }}
    {{- with .config }}
    - name: config
      configMap:
        name: {{ . }}
    {{- end }}
    {{- if gt $gpus 0 }}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: 8Gi}
    {{- end }}
{{- end -}}

{{- define "rstar.trainerClaim" -}}
{{- default (printf "%s-data" (include "rstar.name" .)) .Values.trainer.data.existingClaim -}}
{{- end -}}

{{/*
How a job goes on after a failure, from Kubernetes 1.26 on: an evicted pod does not count, and what
says that its data or settings are at fault is not tried again. Takes root, name, final (exit codes).
*/}}
{{- define "rstar.podFailurePolicy" -}}
{{- if semverCompare ">=1.26-0" .root.Capabilities.KubeVersion.Version }}
podFailurePolicy:
  rules:
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    {{- /* Before 1.29 the schema wants conditions in every rule. */}}
    {{- if semverCompare ">=1.29-0" .root.Capabilities.KubeVersion.Version }}
    - action: FailJob
      onExitCodes:
        containerName: {{ .name }}
        operator: In
        values: {{ toJson .final }}
    {{- end }}
{{- end }}
{{- end -}}

{{- define "rstar.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .name }}
  labels:
    {{- include "rstar.labels" (dict "root" .root "component" "trainer") | nindent 4 }}
data:
  config.json: |
    {{- toPrettyJson .config | nindent 4 }}
{{- end -}}
